"""Values that are stored as JSON: checked once, alike for every database."""

import json
import math
from collections.abc import Mapping
from typing import Any

from automation.events.conf import conf
from automation.events.errors import PayloadError

__all__ = ["json_object"]

DEPTH_LIMIT = 32


def json_object(value: object) -> dict[str, Any]:
    """Return `value` as a JSON object, or raise `PayloadError` with the path of what is not JSON.

    Databases disagree about NUL, NaN, lone surrogates and huge integers, so they are refused here.
    """
    if not isinstance(value, Mapping):
        raise PayloadError(f"payload is {type(value).__name__}, not a dict. Give a dict of JSON values.")
    checked = _value(value, "payload", depth=0)
    size = len(json.dumps(checked))
    if size > conf().payload_limit:
        raise PayloadError(f"payload has {size} characters as JSON, more than the {conf().payload_limit} allowed.")
    assert isinstance(checked, dict)
    return checked


def _value(value: object, path: str, *, depth: int) -> object:
    if depth > DEPTH_LIMIT:
        raise PayloadError(f"{path} is nested deeper than {DEPTH_LIMIT} levels.")
    match value:
        case None | bool():
            return value
        case str():
            return _text(value, path)
        case int():
            return _integer(value, path)
        case float():
            return _number(value, path)
        case Mapping():
            return {_key(key, path): _value(item, f"{path}.{key}", depth=depth + 1) for key, item in value.items()}
        case list() | tuple():
            return [_value(item, f"{path}[{index}]", depth=depth + 1) for index, item in enumerate(value)]
    raise PayloadError(f"{path} is {type(value).__name__}, which is not JSON. Give text, a number, a list or a dict.")


def _text(value: str, path: str) -> str:
    if "\x00" in value:
        raise PayloadError(f"{path} contains a NUL character, which PostgreSQL cannot store.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise PayloadError(f"{path} contains half of a surrogate pair, which is not text.") from None
    return str(value)


def _integer(value: int, path: str) -> int:
    if not -(1 << 63) <= value < 1 << 63:
        raise PayloadError(f"{path} is an integer beyond 64 bits; send it as text.")
    return int(value)


def _number(value: float, path: str) -> float:
    if not math.isfinite(value):
        raise PayloadError(f"{path} is {value}, which JSON cannot say; send None or text.")
    return float(value)


def _key(key: object, path: str) -> str:
    if not isinstance(key, str):
        raise PayloadError(f"{path} has the key {key!r}; keys of JSON objects are text.")
    return _text(key, f"{path}.{key!r}")
