"""Points in time inside a value, written in UTC: only so can two of different zones be compared at every hour."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

__all__ = ["in_utc"]


def in_utc(value: Any) -> Any:
    """Return `value` with every aware datetime in it, however deep, in UTC; its models and dataclasses as plain data.

    Python calls an aware datetime of the hour that a zone repeats or leaves out, when the clocks change, unequal to the
    same instant in any other zone.
    """
    match value:
        case datetime() if value.tzinfo is not None:
            return _as_utc(value)
        case Mapping():
            return {in_utc(key): in_utc(item) for key, item in value.items()}
        case list() | tuple():
            return type(value), [in_utc(item) for item in value]
        case set() | frozenset():
            return type(value), frozenset(in_utc(item) for item in value)
        case _:
            held = _held(value)
            return value if held is None else (type(value), in_utc(held))


def _held(value: Any) -> dict[str, Any] | None:
    """Return what a model or a dataclass holds; None for other values."""
    if isinstance(value, BaseModel):
        return {**value.__dict__, **(value.__pydantic_extra__ or {})}
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    return None


def _as_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        return moment
