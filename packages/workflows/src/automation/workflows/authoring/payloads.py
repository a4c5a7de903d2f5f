"""JSON that every database keeps and gives back equal. Checked once, in Python, before any write."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from automation.workflows.errors import PayloadError

__all__ = ["JsonLimits", "JsonObject", "check_json", "check_text"]

JsonObject: TypeAlias = Mapping[str, Any]
"""A JSON object as Python holds it: string keys, and values that `json.dumps` writes without help."""

_INTEGER_BOUND = 2**63
"""Beyond 64 bits MySQL turns integers into floats and loses digits."""
_ROOT = "payload"


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonLimits:
    """How large a JSON document may be."""

    bytes: int = 64 * 1024
    """Length of its compact UTF-8 text."""
    depth: int = 32
    keys: int = 1000
    """Keys of all its objects together."""


def check_json(value: Any, limits: JsonLimits, *, root: str = _ROOT) -> None:
    """Raise PayloadError, with the path, for what is not JSON or is beyond the limits."""
    keys = 0
    for path, depth, item in _walk(value, root):
        if depth > limits.depth:
            raise PayloadError(f"{_cut(path)} is nested deeper than {limits.depth} levels. Flatten it, or store an id.")
        _check_value(item, path)
        if isinstance(item, dict):
            keys += len(item)
            if keys > limits.keys:
                raise PayloadError(f"{root} has more than {limits.keys} keys. Send an id and load the rest.")
    size = len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
    if size > limits.bytes:
        raise PayloadError(f"{root} takes {size} bytes of JSON, over {limits.bytes}. Send an id and load the rest.")


def check_text(value: str, path: str) -> None:
    """Raise PayloadError for text that not every database can hold: NUL, and halves of surrogate pairs."""
    if "\x00" in value:
        raise PayloadError(f"{_cut(path)} contains NUL (\\x00), which databases refuse in text. Remove it.")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise PayloadError(
            f"{_cut(path)} contains a lone surrogate at position {error.start}, which is not text. "
            "Decode the bytes it came from with the right encoding."
        ) from None


def _walk(value: Any, root: str) -> Iterator[tuple[str, int, Any]]:
    """Yield path, depth and value of every node, outermost first, without recursion."""
    pending = [(root, 0, value)]
    while pending:
        path, depth, item = pending.pop()
        yield path, depth, item
        if isinstance(item, dict):
            pending += [(f"{path}.{key}", depth + 1, child) for key, child in item.items()]
        elif isinstance(item, list | tuple):
            pending += [(f"{path}[{index}]", depth + 1, child) for index, child in enumerate(item)]


def _check_value(item: Any, path: str) -> None:
    match item:
        case None | bool():
            return
        case str():
            check_text(item, path)
        case int():
            if not -_INTEGER_BOUND <= item < _INTEGER_BOUND:
                raise PayloadError(f"{_cut(path)} is an integer of more than 64 bits. Send it as text.")
        case float():
            if not math.isfinite(item):
                raise PayloadError(f"{_cut(path)} is {item!r}, which JSON does not have. Send None or text.")
        case dict():
            _check_keys(item, path)
        case list() | tuple():
            return
        case _:
            raise PayloadError(
                f"{_cut(path)} is a {type(item).__name__}, which is not JSON. Send text, numbers, booleans, None, "
                "lists and dicts with text keys; a model instance as its id, a datetime as .isoformat()."
            )


def _check_keys(item: dict[Any, Any], path: str) -> None:
    for key in item:
        if not isinstance(key, str):
            raise PayloadError(f"{_cut(path)} has the key {key!r} ({type(key).__name__}). JSON keys are text.")
        check_text(key, f"{path}.{key!r}")


def _cut(path: str) -> str:
    return path if len(path) <= 200 else f"{path[:200]}..."
