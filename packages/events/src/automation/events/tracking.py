"""A queryset and manager that keep events right under the operations for which Django sends no signals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from django.db import models, transaction
from django.db.models import AutoField, Max

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


class EventTrackingQuerySet(_QuerySet):
    """Brings events in line in the transaction of `bulk_create`, `bulk_update` and `update`.

    Use it as a model's manager (`objects = EventTrackingManager()`) or mix it into a queryset of your own. It costs one
    pass of `Event.objects.sync` over the rows concerned; an `update()` of many rows is done batch by batch, in one
    transaction. `bulk_update()` goes through `update()`. `delete()` is right without help, for Django sends signals for
    it; here it also costs statements by the batch, and not by the row.
    """

    def bulk_create(self, objs: Iterable[Any], *args: Any, **kwargs: Any) -> list[Any]:
        """Insert, and arm the events of what was inserted."""
        if not declared(self.model):
            return super().bulk_create(objs, *args, **kwargs)
        self._for_write = True
        with transaction.atomic(using=self.db):
            before = self._highest_key()
            created = super().bulk_create(objs, *args, **kwargs)
            self._sync([one.pk for one in created if one.pk is not None])
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
