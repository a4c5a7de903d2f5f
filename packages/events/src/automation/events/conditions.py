"""Conditions written as a Q: answered in Python where that is certain, by the database where it is not."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, Final

from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import connections
from django.db.models import Exists, Field, Model, OuterRef, Q

__all__ = ["annotation", "ask_database", "decide_in_python"]

LOOKUPS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "exact": operator.eq,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
CERTAIN: Final = (bool, int, str, date)


class _Undecidable(Exception):
    """Only the database can tell."""


def ask_database(condition: Q, instance: Model) -> bool:
    """Ask the database whether the stored row of `instance` meets a Q."""
    manager = type(instance)._base_manager.using(instance._state.db)
    return manager.filter(pk=instance.pk).filter(condition).exists()


def annotation(model: type[Model], condition: Q, *, using: str) -> Exists:
    """Return an expression that answers a Q within the statement that reads the rows; joins do not multiply them."""
    return Exists(model._base_manager.using(using).filter(pk=OuterRef("pk")).filter(condition))


def decide_in_python(condition: Q, instance: Model, *, using: str) -> bool | None:
    """Return whether the values of `instance` meet a Q; None where only the database can tell.

    Certain are comparisons of the model's own columns with plain values. Text is compared for equality only, for its
    order is the database's; and not at all where a collation may call different strings equal: on MySQL and MariaDB,
    and in columns with a `db_collation`.
    """
    plain_text = connections[using].vendor != "mysql"
    try:
        return _evaluate(condition, instance, plain_text=plain_text)
    except _Undecidable:
        return None


def _evaluate(condition: Q, instance: Model, *, plain_text: bool) -> bool:
    answers = [_evaluate_child(child, instance, plain_text=plain_text) for child in condition.children]
    match condition.connector:
        case Q.AND:
            answer = all(answers)
        case Q.OR:
            answer = any(answers) or not answers
        case _:
            answer = sum(answers) % 2 == 1
    return answer is not condition.negated


def _evaluate_child(child: Any, instance: Model, *, plain_text: bool) -> bool:
    if isinstance(child, Q):
        return _evaluate(child, instance, plain_text=plain_text)
    if not isinstance(child, tuple):
        raise _Undecidable
    path, wanted = child
    name, _, lookup = str(path).partition("__")
    field = _own_column(instance, name)
    value = instance.__dict__.get(field.attname, _Undecidable)
    match lookup or "exact":
        case "isnull" if isinstance(wanted, bool):
            return (_certain(value, plain_text=True) is None) is wanted
        case "in" if isinstance(wanted, list | tuple | set | frozenset):
            return any(_compare(field, "exact", value, one, plain_text=plain_text) for one in wanted)
        case known if known in LOOKUPS:
            return _compare(field, known, value, wanted, plain_text=plain_text)
    raise _Undecidable


def _own_column(instance: Model, name: str) -> Field[Any, Any]:
    try:
        field = instance._meta.pk if name == "pk" else instance._meta.get_field(name)
    except FieldDoesNotExist:
        raise _Undecidable from None
    if not isinstance(field, Field) or not field.concrete or field.is_relation:
        raise _Undecidable
    return field


def _compare(field: Field[Any, Any], lookup: str, value: Any, wanted: Any, *, plain_text: bool) -> bool:
    if hasattr(wanted, "resolve_expression") or wanted is None:
        raise _Undecidable
    plain_text = plain_text and lookup == "exact" and getattr(field, "db_collation", None) is None
    try:
        left, right = field.to_python(value), field.to_python(wanted)
        if _certain(left, plain_text=plain_text) is None:
            return False
        return bool(LOOKUPS[lookup](left, _certain(right, plain_text=plain_text)))
    except (TypeError, ValueError, ValidationError):
        raise _Undecidable from None


def _certain(value: Any, *, plain_text: bool) -> Any:
    if value is None or (isinstance(value, CERTAIN) and (plain_text or not isinstance(value, str))):
        return value
    raise _Undecidable
