"""What one asks of `Event.objects`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models import Q

from automation.events.lifecycle.status import DeliveryStatus, EventStatus
from automation.events.registry import declared, entity_type_of, key_text

if TYPE_CHECKING:
    from automation.events.models import Event, EventDelivery  # noqa: F401 - the name is in the type of a base class
    from automation.events.syncing import SyncReport

__all__ = ["DeliveryManager", "DeliveryQuerySet", "EventManager", "EventQuerySet"]


class EventQuerySet(models.QuerySet["Event"]):
    """Rows of events; every verb here reads only, but for `sync` and `recheck`."""

    def for_entity(self, obj: models.Model) -> EventQuerySet:
        """Return the events of one object, history included, oldest occurrence first."""
        types = {(one.entity_type, one.entity_id(obj)) for one in declared(type(obj))}
        types.add((entity_type_of(type(obj)), key_text(type(obj), obj.pk)))
        wanted = Q()
        for entity_type, entity_id in sorted(types):
            wanted |= Q(entity_type=entity_type, entity_id=entity_id)
        rows = self if getattr(self, "_db", None) else self.using(obj._state.db)
        return rows.filter(wanted).order_by("event_name", "generation")

    def current(self) -> EventQuerySet:
        """Return the rows that are not history: one per definition and entity."""
        return self.filter(current_key__isnull=False)

    def due(self, now: datetime | None = None) -> EventQuerySet:
        """Return the pending events that must be looked at by `now`, oldest first."""
        from automation.events.ports.wiring import wiring

        moment = now or wiring.clock.now()
        return self.filter(status=EventStatus.PENDING, next_at__lte=moment).order_by("next_at", "id")

    def get_events(
        self,
        from_date: datetime | None = None,
        to_date: datetime | None = None,
        status: EventStatus | str | None = None,
        include_immediate: bool = True,  # noqa: FBT001, FBT002 - the guide's signature
    ) -> list[Event]:
        """Return the events whose condition holds now, by time; both bounds count.

        The time of a scheduled event is `at`, that of an immediate one is when its row was made. A scheduled event
        without a date lies between no bounds. Events whose entity no longer exists are left out.
        """
        from automation.events.entities import currently_valid

        rows = self._between(from_date, to_date, status)
        valid = currently_valid(rows, include_immediate=include_immediate, using=self.db)
        if from_date is None and to_date is None:
            return valid
        return [event for event in valid if event.at is not None or event.is_immediate]

    def get_due_events(
        self,
        from_date: datetime | None = None,
        to_date: datetime | None = None,
        status: EventStatus | str | None = None,
    ) -> list[Event]:
        """Return the scheduled events among `get_events`."""
        return self.get_events(from_date, to_date, status, include_immediate=False)

    def sync(self, queryset: models.QuerySet[Any], **options: Any) -> SyncReport:
        """Bring the rows of these objects in line with what the database holds, in bulk.

        For what sends no signals: `bulk_create`, `bulk_update`, `QuerySet.update()`, raw SQL, data that was there
        before the package. Safe to call twice.
        """
        from automation.events.syncing import sync

        return sync(queryset, **options)

    def recheck(self, obj: models.Model) -> SyncReport:
        """Look again at the conditions of one object, for those that depend on other rows."""
        from automation.events.syncing import sync

        manager = type(obj)._base_manager.using(obj._state.db)
        return sync(manager.filter(pk=obj.pk))

    def _between(
        self, from_date: datetime | None, to_date: datetime | None, status: EventStatus | str | None
    ) -> EventQuerySet:
        rows = self.all()
        if status is not None:
            rows = rows.filter(status=status)
        if from_date is not None:
            rows = rows.filter(Q(at__gte=from_date) | Q(at__isnull=True, created_at__gte=from_date))
        if to_date is not None:
            rows = rows.filter(Q(at__lte=to_date) | Q(at__isnull=True, created_at__lte=to_date))
        return rows


_Manager = models.Manager.from_queryset(EventQuerySet)


class EventManager(_Manager["Event"]):
    """The manager of events."""

    use_in_migrations = False


class DeliveryQuerySet(models.QuerySet["EventDelivery"]):
    """Rows of deliveries."""

    def failed(self) -> DeliveryQuerySet:
        """Return those of which every try has failed, and which a person may run again."""
        return self.filter(status=DeliveryStatus.FAILED)

    def run_again(self) -> int:
        """Owe those again that have failed, due now and with all their tries; return how many there were.

        The processor makes the calls. What has not failed is left alone.
        """
        from automation.events.databases import written_to
        from automation.events.rerunning import run_again

        return run_again(self.failed(), using=written_to(self))

    run_again.alters_data = True  # type: ignore[attr-defined]


class DeliveryManager(models.Manager["EventDelivery"]):
    """The manager of deliveries."""

    use_in_migrations = False

    def get_queryset(self) -> DeliveryQuerySet:
        """Return all deliveries."""
        return DeliveryQuerySet(self.model, using=self._db)

    def failed(self) -> DeliveryQuerySet:
        """Return those of which every try has failed, and which a person may run again."""
        return self.get_queryset().failed()
