"""Bytes in a Context: JSON has none, and not all of them are text, so they are stored as base64."""

from collections.abc import Iterator
from typing import Any, get_args
from weakref import WeakKeyDictionary

from pydantic import BaseModel, ConfigDict

__all__ = ["as_stored", "stored_form", "types_in"]

_forms: WeakKeyDictionary[type[BaseModel], type[BaseModel] | None] = WeakKeyDictionary()


def stored_form(context: type[BaseModel]) -> type[BaseModel] | None:
    """Return the class that reads and writes a Context with bytes; None where the Context does so itself."""
    if context not in _forms:
        _forms[context] = _made(context)
    return _forms[context]


def as_stored(context: BaseModel) -> BaseModel:
    """Return a Context in the form that writes itself; itself, where it needs none."""
    form = stored_form(type(context))
    if form is None:
        return context
    values = {**context.__dict__, **(context.__pydantic_extra__ or {})}
    return form.model_construct(**values)


def types_in(annotation: Any) -> Iterator[Any]:
    """Yield an annotation and everything it is made of."""
    yield annotation
    for argument in get_args(annotation):
        yield from types_in(argument)


def _made(context: type[BaseModel]) -> type[BaseModel] | None:
    if "ser_json_bytes" in context.model_config or not _has_bytes(context):
        return None
    config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
    names = {"__module__": context.__module__, "__qualname__": context.__qualname__, "model_config": config}
    return type(context.__name__, (context,), names)


def _has_bytes(context: type[BaseModel]) -> bool:
    return any(part is bytes for info in context.model_fields.values() for part in types_in(info.annotation))
