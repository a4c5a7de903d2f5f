"""A Context as JSON and back: what is stored comes back equal, or is refused by name."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from pydantic import BaseModel, SecretBytes, SecretStr, ValidationError
from pydantic_core import PydanticSerializationError

from automation.workflows.authoring.bytes_form import as_stored, stored_form, types_in
from automation.workflows.authoring.instants import in_utc
from automation.workflows.authoring.payloads import JsonLimits, JsonObject, check_json
from automation.workflows.errors import ContextError, DefinitionError, PayloadError

__all__ = ["Merge", "check_context_class", "dump", "load", "merge", "problems", "stored_data"]

_M = TypeVar("_M", bound=BaseModel)
_SECRETS = (SecretStr, SecretBytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """A Context's data with a payload merged in."""

    data: JsonObject
    rejected: Mapping[str, str] = field(default_factory=dict)
    """Declared fields whose value did not validate, with the reason."""


def check_context_class(owner: str, context: Any) -> type[BaseModel]:
    """Return the Context class if it can be stored; raise DefinitionError, saying what to write, if it cannot."""
    if context is None:
        raise DefinitionError(
            f"Workflow class {owner} must define a Context class. Write inside it: class Context(BaseModel): ..."
        )
    if not (isinstance(context, type) and issubclass(context, BaseModel)):
        raise DefinitionError(f"Context of workflow class {owner} must inherit from BaseModel (pydantic).")
    for reason in _unstorable(context):
        raise DefinitionError(f"Context of workflow class {owner} cannot be stored: {reason}")
    return context


def load(context: type[_M], data: JsonObject) -> _M:
    """Make a Context from stored data. Raises ValidationError, and whatever else the author's validators raise."""
    text = json.dumps(data, ensure_ascii=False)
    stored = stored_form(context)
    loaded = (stored or context).model_validate_json(text, by_alias=False, by_name=True)
    if stored is not None:
        object.__setattr__(loaded, "__class__", context)
    return cast(_M, loaded)


def dump(context: BaseModel, limits: JsonLimits) -> JsonObject:
    """Return a Context as JSON data. Raises ContextError, naming the field, when it would not come back equal."""
    try:
        data = stored_data(context)
        check_json(data, limits, root="Context")
    except (PydanticSerializationError, UnicodeDecodeError) as error:
        raise ContextError(_unserialisable(context, error)) from None
    except PayloadError as error:
        raise ContextError(f"The Context cannot be stored: {error}") from None
    _check_returns(context, data)
    return data


def merge(context: type[BaseModel], data: JsonObject, payload: JsonObject) -> Merge:
    """Set those keys of `payload` that are declared fields and validate; name those that do not.

    `data` is a Context that loads. Raises nothing: whatever the author's validators raise refuses the value.
    """
    wanted = {key: value for key, value in payload.items() if key in context.model_fields}
    rejected: dict[str, str] = {}
    while wanted:
        try:
            merged = stored_data(load(context, {**data, **wanted}))
        except Exception as error:  # noqa: BLE001 - validators are the author's code, and the sender chose the value
            refused = _refused(context, data, wanted, error)
            rejected |= refused
            wanted = {key: value for key, value in wanted.items() if key not in refused}
        else:
            return Merge(data=merged, rejected=rejected)
    return Merge(data=data, rejected=rejected)


def problems(error: Exception) -> str:
    """Say what does not validate and why, without the values: they may be personal."""
    if isinstance(error, ValidationError):
        return "; ".join(f"{path or 'Context'}: {reason}" for path, reason in _reported(error))
    return f"a validator raised {type(error).__name__}"


def _refused(context: type[BaseModel], data: JsonObject, wanted: JsonObject, error: Exception) -> Mapping[str, str]:
    """Return the keys to leave out: those that the error names, else those that do not validate alone, or the last."""
    reasons = _reasons(error) if isinstance(error, ValidationError) else {}
    named = {key: reasons[key] for key in wanted if key in reasons}
    if named:
        return named
    alone = {key: reason for key, value in wanted.items() if (reason := _alone(context, {**data, key: value}))}
    return alone or {next(reversed(list(wanted))): problems(error)}


def _alone(context: type[BaseModel], data: JsonObject) -> str:
    """Return why data does not make a Context; nothing where it does."""
    try:
        stored_data(load(context, data))
    except Exception as error:  # noqa: BLE001 - as in merge
        return problems(error)
    return ""


def stored_data(context: BaseModel) -> JsonObject:
    """Return a Context as the JSON that is stored. Raises what pydantic raises."""
    written = as_stored(context)
    data: JsonObject = _finite(written.model_dump(mode="json", round_trip=True, by_alias=False, warnings="none"))
    return data


def _reported(error: ValidationError) -> Iterator[tuple[str, str]]:
    for problem in error.errors(include_input=False, include_url=False, include_context=False):
        yield ".".join(str(part) for part in problem["loc"]), problem["msg"]


def _reasons(error: ValidationError) -> dict[str, str]:
    return {path.partition(".")[0]: reason for path, reason in _reported(error) if path}


def _unstorable(context: type[BaseModel]) -> Iterator[str]:
    if context.__private_attributes__:
        name = next(iter(context.__private_attributes__))
        yield f"private attribute {name!r} would be lost. Make it a field."
    if context.model_config.get("frozen"):
        yield "it is frozen, so no step could change it. Remove frozen=True."
    for name, info in context.model_fields.items():
        if info.exclude:
            yield f"field {name!r} is excluded from serialisation and would be lost. Remove exclude=True."
        if any(secret in _SECRETS for secret in types_in(info.annotation)):
            yield f"field {name!r} is a secret, which is stored as asterisks. Keep a reference to the secret instead."
    for name, info in context.model_fields.items():
        for nested in types_in(info.annotation):
            if isinstance(nested, type) and issubclass(nested, BaseModel) and nested is not context:
                yield from (f"in field {name!r}: {reason}" for reason in _nested(nested))


def _nested(model: type[BaseModel]) -> Iterator[str]:
    if model.__private_attributes__:
        yield f"private attribute {next(iter(model.__private_attributes__))!r} of {model.__name__} would be lost."
    for name, info in model.model_fields.items():
        if any(secret in _SECRETS for secret in types_in(info.annotation)):
            yield f"{model.__name__}.{name} is a secret, which is stored as asterisks."


def _finite(value: Any) -> Any:
    """Write NaN and the infinities as the text from which pydantic reads them back."""
    match value:
        case float() if not math.isfinite(value):
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        case dict():
            return {key: _finite(item) for key, item in value.items()}
        case list():
            return [_finite(item) for item in value]
        case _:
            return value


def _check_returns(context: BaseModel, data: JsonObject) -> None:
    try:
        returned = load(type(context), data)
    except ValidationError as error:
        raise ContextError(
            f"The Context would not come back from the storage: {problems(error)}. "
            "Give each field a value of its declared type."
        ) from None
    if returned == context:
        return
    for name in [*type(context).model_fields, *(context.__pydantic_extra__ or {})]:
        before, after = getattr(context, name, None), getattr(returned, name, None)
        if before != after and not _is_same(before, after):
            raise ContextError(
                f"Context field {name!r} would come back as {type(after).__name__} instead of "
                f"{type(before).__name__}. Declare the field's type so that pydantic can restore it."
            )


def _is_same(before: Any, after: Any) -> bool:
    """Return whether unequal values differ in nothing that counts: NaN is not even equal to itself."""
    before, after = in_utc(before), in_utc(after)
    return bool(before == after) or repr(before) == repr(after)


def _unserialisable(context: BaseModel, error: Exception) -> str:
    """Name the field that cannot be written as JSON."""
    for name in type(context).model_fields:
        try:
            as_stored(context).model_dump(mode="json", include={name}, warnings="none")
        except (PydanticSerializationError, UnicodeDecodeError):
            kind = type(getattr(context, name, None)).__name__
            return (
                f"Context field {name!r} holds a {kind} that is not JSON: {error}. Declare a type that pydantic can "
                "write, or keep an id. Bytes of a nested model need "
                'model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64") there.'
            )
    return f"The Context cannot be written as JSON: {error}"
