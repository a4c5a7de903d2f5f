"""A queryset and manager that keep events right under the operations for which Django sends no signals."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from inspect import signature
from typing import TYPE_CHECKING, Any

from django.db import models, transaction
from django.db.models import AutoField, Max, Q

from automation.events.conf import conf
from automation.events.recorder import deletions_together
from automation.events.registry import declared
from automation.events.rows import batches
from automation.events.syncing import sync, sync_keys

__all__ = ["EventTrackingManager", "EventTrackingQuerySet"]

if TYPE_CHECKING:
    _QuerySet = models.QuerySet[Any]
else:
    _QuerySet = models.QuerySet

_BULK_CREATE = signature(models.QuerySet.bulk_create)


class EventTrackingQuerySet(_QuerySet):
    """Brings events in line in the transaction of `bulk_create`, `bulk_update` and `update`.

    Use it as a model's manager (`objects = EventTrackingManager()`) or mix it into a queryset of your own. It costs one
    pass of `Event.objects.sync` over the rows concerned; an `update()` of many rows is done batch by batch, in one
    transaction. `bulk_update()` goes through `update()`. `delete()` is right without help, for Django sends signals for
    it; here it also costs statements by the batch, and not by the row.
    """

    def bulk_create(self, objs: Iterable[Any], *args: Any, **kwargs: Any) -> list[Any]:
        """Insert, or update what is there, and let the events of these rows follow."""
        if not declared(self.model):
            return super().bulk_create(objs, *args, **kwargs)
        self._for_write = True
        asked = _BULK_CREATE.bind(self, objs, *args, **kwargs).arguments
        with transaction.atomic(using=self.db):
            before = self._highest_key()
            created = super().bulk_create(objs, *args, **kwargs)
            keys = [one.pk for one in created if one.pk is not None]
            if asked.get("update_conflicts"):
                keys += self._met(created, asked.get("unique_fields"))
            self._sync(keys)
            if any(one.pk is None for one in created):
                self._sync_above(before)
        return created

    def update(self, **kwargs: Any) -> int:
        """Update, and let the events follow; the rows are found before their values change."""
        if not declared(self.model):
            return super().update(**kwargs)
        self._for_write = True
        with transaction.atomic(using=self.db):
            keys = list(dict.fromkeys(self.order_by().values_list("pk", flat=True)))
            changed = 0
            for chunk in batches(keys, conf().batch):
                # By their keys as well: a row that comes to match meanwhile would change without being synced.
                found = self.filter(pk__in=chunk)
                changed += super(EventTrackingQuerySet, found).update(**kwargs)
                self._sync(chunk)
        return changed

    update.alters_data = True  # type: ignore[attr-defined]

    def delete(self) -> tuple[int, dict[str, int]]:
        """Delete, and retire the rows of all that is deleted, cascades included, set by set."""
        if not declared(self.model):
            return super().delete()
        self._for_write = True
        with transaction.atomic(using=self.db), deletions_together():
            return super().delete()

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]

    def _sync(self, keys: Sequence[Any]) -> None:
        for chunk in batches(sorted(set(keys), key=str), conf().batch):
            sync_keys(self.model, chunk, declared(self.model), using=self.db)

    def _met(self, objs: Sequence[Any], unique_fields: Collection[str] | None) -> Iterator[Any]:
        """Yield the keys of the rows that have what must be unique in these objects: they may have been updated.

        The object's own key says nothing of such a row: it was made for a new one, or is not given back.
        """
        rows = self.model._base_manager.using(self.db)
        for names in [tuple(unique_fields)] if unique_fields else self._unique():
            columns = [self.model._meta.get_field(name).attname for name in names if name != "pk"]
            for chunk in batches(objs, conf().batch):
                wanted = Q()
                for one in chunk:
                    values = {column: getattr(one, column) for column in columns}
                    # NULL is like no other, and meets none.
                    wanted |= Q() if None in values.values() else Q(**values)
                if wanted:
                    yield from rows.filter(wanted).values_list("pk", flat=True)

    def _unique(self) -> Iterator[tuple[str, ...]]:
        """Yield what must be unique together: MySQL and MariaDB update a row whichever of it is met."""
        meta = self.model._meta
        yield from ((field.name,) for field in meta.concrete_fields if field.unique and not field.primary_key)
        yield from (tuple(names) for names in meta.unique_together)
        yield from (constraint.fields for constraint in meta.total_unique_constraints)

    def _highest_key(self) -> Any:
        """Return the highest key so far, where the database makes keys and may not give them back."""
        if not isinstance(self.model._meta.pk, AutoField):
            return None
        return self.model._base_manager.using(self.db).aggregate(highest=Max("pk"))["highest"]

    def _sync_above(self, before: Any) -> None:
        """Sync the rows whose keys the database did not give back, and perhaps some more: that changes nothing."""
        rows = self.model._base_manager.using(self.db)
        sync(rows.all() if before is None else rows.filter(pk__gt=before))


_Manager = models.Manager.from_queryset(EventTrackingQuerySet)


class EventTrackingManager(_Manager[Any]):
    """The manager to put on a model whose events must follow bulk operations."""
