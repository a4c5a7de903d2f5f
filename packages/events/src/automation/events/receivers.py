"""Listening to saves and deletions, only of models that declare events.

Django sends `post_save` after the row's own transaction when none was open; a crash between the two would lose the
event. So `save_base` of these models opens one around both, unless one is open already. The one visible change: in
autocommit, a receiver that raises takes the row with it.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.db import connections, router, transaction
from django.db.models import Model
from django.db.models.signals import class_prepared, post_delete, post_save

from automation.events import registry
from automation.events.recorder import record_deletion, record_save
from automation.events.transactions import noticing_rollbacks

__all__ = ["connect", "connect_model"]

MARK = "_automation_events_atomic"


@dataclass(slots=True)
class _Saving:
    """A save that is under way."""

    instance: Model
    recorded: bool = False
    """A save of the same row inside it (by another receiver) has been recorded already."""
    inserted: set[type[Model]] = field(default_factory=set)
    """The models of several tables whose row of this instance it has inserted."""


class _Local(threading.local):
    def __init__(self) -> None:
        self.saves: list[_Saving] = []


_local = _Local()


def connect() -> None:
    """Listen to every model that declares events; safe to call twice."""
    class_prepared.connect(_on_class_prepared, dispatch_uid="automation_events.class_prepared")
    registry.forget()
    for model in apps.get_models(include_auto_created=True):
        connect_model(model)


def connect_model(model: type[Model]) -> None:
    """Listen to one model if it, or what it inherits from, declares events."""
    if not registry.declared(model) and not registry.declared_by_proxies(model):
        return
    uid = f"automation_events.{model._meta.label_lower}"
    post_save.connect(_on_save, sender=model, dispatch_uid=uid)
    post_delete.connect(_on_delete, sender=model, dispatch_uid=uid)
    if not hasattr(model.save_base, MARK):
        model.save_base = _in_one_transaction(model.save_base)  # type: ignore[method-assign]
    if _has_several_tables(model) and not hasattr(model._save_table, MARK):  # type: ignore[attr-defined]
        model._save_table = _noting_inserts(model._save_table)  # type: ignore[attr-defined]


def _in_one_transaction(save_base: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(save_base)
    def wrapped(self: Model, *args: Any, **kwargs: Any) -> None:
        raw = args[0] if args else kwargs.get("raw", False)
        using = (args[3] if len(args) > 3 else kwargs.get("using")) or router.db_for_write(type(self), instance=self)
        if raw:
            return save_base(self, *args, **kwargs)
        _local.saves.append(_Saving(self))
        try:
            if connections[using].in_atomic_block:
                return save_base(self, *args, **kwargs)
            with transaction.atomic(using=using):
                return save_base(self, *args, **kwargs)
        finally:
            _local.saves.pop()

    setattr(wrapped, MARK, True)
    return wrapped


def _noting_inserts(save_table: Callable[..., bool]) -> Callable[..., bool]:
    """Note into which tables a save inserts: `created` of `post_save` tells of the child's only."""

    @functools.wraps(save_table)
    def wrapped(self: Model, *args: Any, **kwargs: Any) -> bool:
        updated = save_table(self, *args, **kwargs)
        table = args[1] if len(args) > 1 else kwargs["cls"]
        for save in _local.saves:
            if save.instance is self and not updated:
                save.inserted.add(table)
        return updated

    setattr(wrapped, MARK, True)
    return wrapped


def _has_several_tables(model: type[Model]) -> bool:
    return any(not parent._meta.proxy for parent in (model._meta.concrete_model or model)._meta.parents)


def _on_save(
    instance: Model,
    created: bool,  # noqa: FBT001 - Django's signature
    raw: bool,  # noqa: FBT001
    using: str,
    update_fields: Collection[str] | None = None,
    **_: Any,
) -> None:
    if raw:
        return
    under_way = [save for save in _local.saves if _same_row(save.instance, instance)]

    def is_new(model: type[Model]) -> bool:
        # Asked again later, too: a condition that is called meanwhile may save the row as well.
        if any(save.recorded for save in under_way):
            return False
        if not _has_several_tables(type(instance)):
            return created
        table = model._meta.concrete_model or model
        return any(save.instance is instance and table in save.inserted for save in under_way)

    with noticing_rollbacks(using):
        record_save(instance, is_new=is_new, update_fields=update_fields, using=using)
    for save in under_way:
        save.recorded = True


def _on_delete(instance: Model, using: str, **_: Any) -> None:
    record_deletion(instance, using=using)


def _on_class_prepared(sender: type[Model], **_: Any) -> None:
    """Take in a model that is defined after start-up, in a test or a shell."""
    if apps.models_ready and sender.__module__ != "__fake__":
        registry.forget()
        connect_model(sender)


def _same_row(one: Model, other: Model) -> bool:
    return one is other or (one._meta.concrete_model is other._meta.concrete_model and one.pk == other.pk)
