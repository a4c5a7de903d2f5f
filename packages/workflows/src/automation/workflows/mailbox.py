"""Signals in tables: channel rows are the locks, one row holds the position, addresses find keyed signals."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from uuid import UUID

from django.db import connections
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.transaction import TransactionManagementError

from automation.workflows.digests import address_digest, digest, signal_addresses
from automation.workflows.models import (
    MailboxPosition,
    SignalAddress,
    SignalChannel,
    WorkflowReceipt,
    WorkflowRun,
    WorkflowSignal,
)
from automation.workflows.parking import park
from automation.workflows.reading import SPOILT, readable
from automation.workflows.rows import run_from_row, signal_from_row, signal_row
from automation.workflows.runs.matching import matches
from automation.workflows.runs.values import Run, Signal, StandingWait, WorkflowStatus

__all__ = ["DjangoMailbox"]

_POSITION_ROW = 1
_PAGE = 100
"""Signals looked at together when a wait begins, of which nearly always the first decides, and the least number of
waiting runs looked at together."""
_LARGE_PAGE = 500
"""Signals read together where all of them are wanted."""


class DjangoMailbox:
    """The Mailbox of DjangoStorage: see the port for what is promised."""

    def __init__(self, alias: str) -> None:
        self._alias = alias

    def post(self, signals: Sequence[Signal]) -> None:
        """Insert signals in the order given, and what they are about; those stored already are left as they are."""
        rows = [signal_row(signal) for signal in signals]
        WorkflowSignal.objects.using(self._alias).bulk_create(rows, ignore_conflicts=True)
        addresses = [
            SignalAddress(digest=address, signal_id=signal.id)
            for signal in signals
            for address in signal_addresses(signal)
        ]
        if addresses:
            SignalAddress.objects.using(self._alias).bulk_create(addresses, ignore_conflicts=True)

    def position(self) -> int:
        """Read the one row that holds it."""
        return self._positions().values_list("value", flat=True).first() or 0

    def lock(self, name: str) -> None:
        """Lock the channel's row, and make it when the name is new."""
        connection = connections[self._alias]
        if not connection.in_atomic_block:
            raise TransactionManagementError(
                f"Signal name {name!r} can only be locked inside storage.transaction(): the lock ends with it."
            )
        channels = SignalChannel.objects.using(self._alias)
        channel = SignalChannel(digest=digest("channel", name), name=name)
        locked = channels.select_for_update().filter(pk=channel.pk).values_list("pk")
        if connection.features.has_select_for_update and locked:
            return
        # One statement makes the row and locks it, also when somebody else makes it at the same moment.
        has_target = connection.features.supports_update_conflicts_with_target
        channels.bulk_create(
            [channel],
            update_conflicts=True,
            update_fields=["name"],
            unique_fields=["digest"] if has_target else None,
        )

    def matching(self, run_id: UUID, wait: StandingWait, *, limit: int | None = None) -> Sequence[Signal]:
        """Look through what was delivered, in the order of positions."""
        delivered = self._delivered(run_id, wait, _PAGE if limit else _LARGE_PAGE)
        return list(islice((signal for signal in delivered if matches(signal, wait)), limit))

    def undelivered(self, limit: int, *, name: str | None = None) -> Sequence[Signal]:
        """Read what is pending; the primary key is the order of sending."""
        rows = WorkflowSignal.objects.using(self._alias).filter(pending=True).order_by("pk")
        if name is not None:
            rows = rows.filter(name=name)
        found, spoilt = readable(rows, limit, signal_from_row)
        while spoilt:
            # What cannot be read stays as it is, and takes nobody's place: those behind it are looked at instead.
            rows = rows.exclude(pk__in=list(spoilt))
            found, spoilt = readable(rows, limit, signal_from_row)
        return found

    def waiters(self, signal: Signal, limit: int) -> Sequence[Run]:
        """Find waiters by index, then lock them in the order of their ids. Fewer than `limit`: there are no more."""
        found: list[Run] = []
        last: UUID | None = None
        size = max(limit, _PAGE)
        while len(found) < limit:
            candidates = self._waiting(signal)
            if last is not None:
                candidates = candidates.filter(pk__gt=last)
            # A whole page each time, also for the last few that are wanted: many may wait for the name, and few match.
            ids = list(candidates.order_by("pk").values_list("pk", flat=True)[:size])
            found += self._locked(signal, ids)
            if len(ids) < size:
                break
            last = ids[-1]
        return found[:limit]

    def settle(self, signals: Sequence[Signal], *, finished: bool) -> Sequence[Signal]:
        """Allot positions under the locks of their rows; delivery once finished stays finished."""
        rows = WorkflowSignal.objects.using(self._alias).filter(signal_id__in=[signal.id for signal in signals])
        found = rows.order_by("pk").select_for_update().only("signal_id", "position")
        stored = {row.signal_id: row for row in found}
        unplaced = [row for signal in signals if (row := stored.get(signal.id)) and row.position is None]
        if unplaced:
            self._place(unplaced)
        if finished:
            rows.update(pending=None)
        return [replace(signal, position=stored[signal.id].position) for signal in signals if signal.id in stored]

    def _positions(self) -> QuerySet[MailboxPosition]:
        return MailboxPosition.objects.using(self._alias).filter(pk=_POSITION_ROW)

    def _place(self, rows: Sequence[WorkflowSignal]) -> None:
        """Give them the next positions. Their row stays locked until the transaction ends: order is that of commits."""
        while not self._positions().update(value=F("value") + len(rows)):
            MailboxPosition.objects.using(self._alias).bulk_create(
                [MailboxPosition(pk=_POSITION_ROW)], ignore_conflicts=True
            )
        for position, row in enumerate(rows, start=self.position() - len(rows) + 1):
            row.position = position
        WorkflowSignal.objects.using(self._alias).bulk_update(rows, ["position"])

    def _delivered(self, run_id: UUID, wait: StandingWait, size: int) -> Iterator[Signal]:
        """Yield delivered signals that may end the wait, by position: addressed ones and broadcasts."""
        last = 0
        while True:
            found = self._found(run_id, wait, last).order_by("position")
            places = None
            try:
                page = [signal_from_row(row) for row in found[:size]]
            except SPOILT:
                # What cannot be read is logged and left out: it ends no wait, and stops none.
                places = dict(found.values_list("pk", "position")[:size])
                rows = WorkflowSignal.objects.using(self._alias).filter(pk__in=list(places))
                page, _ = readable(rows.order_by("position"), size, signal_from_row)
            yield from page
            positions = [signal.position for signal in page] if places is None else list(places.values())
            if len(positions) < size:
                return
            last = positions[-1] or last

    def _found(self, run_id: UUID, wait: StandingWait, last: int) -> QuerySet[WorkflowSignal]:
        """Narrow to what may end the wait, beyond the position `last`."""
        delivered: QuerySet[WorkflowSignal] = WorkflowSignal.objects.using(self._alias).filter(
            ~Exists(WorkflowReceipt.objects.filter(run_id=run_id, signal_id=OuterRef("signal_id"))), name=wait.signal
        )
        if wait.sent_after is not None:
            delivered = delivered.filter(sent_at__gte=wait.sent_after)

        def after(position: int) -> QuerySet[WorkflowSignal]:
            return delivered.filter(position__gt=max(position, last))

        found = after(wait.run_after).filter(run_id=run_id)
        if wait.key:
            about = SignalAddress.objects.filter(digest=address_digest(wait.signal, wait.key)).values("signal_id")
            found = found.union(after(wait.addressed_after).filter(run_id=None, signal_id__in=about))
        if not wait.key or wait.entity_type:
            found = found.union(after(wait.broadcasts_after).filter(run_id=None))
        return found

    def _waiting(self, signal: Signal) -> QuerySet[WorkflowRun]:
        """Narrow to runs whose wait asks for what the signal is about, by the index on the waits."""
        rows = WorkflowRun.rows.using(self._alias).filter(
            ~Exists(WorkflowReceipt.objects.filter(run_id=OuterRef("pk"), signal_id=signal.id)),
            status=WorkflowStatus.WAITING.value,
            waiting_signal=signal.name,
        )
        if signal.run_id is not None:
            return rows.filter(pk=signal.run_id)
        types = sorted({subject.type for subject in signal.subjects})
        digests = [address_digest(signal.name, ""), *signal_addresses(signal)]
        return rows.filter(
            Q(waiting_scope__in=["", *types], waiting_digest__in=digests) | _outside(types),
        )

    def _locked(self, signal: Signal, ids: Sequence[UUID]) -> list[Run]:
        """Lock those that still wait; whoever moved in between is left out. Who cannot be read is held.

        It stands in no wait then, and when it can be read again the sweep finds for it what came meanwhile.
        """
        if not ids:
            return []
        rows = self._waiting(signal).filter(pk__in=ids).order_by("pk").select_for_update()
        runs, spoilt = readable(rows, len(ids), run_from_row)
        # Due as soon as the signal was sent, for the next sweep.
        park(WorkflowRun.rows.using(self._alias), spoilt, signal.sent_at)
        return [run for run in runs if run.wait is not None and matches(signal, run.wait)]


def _outside(types: Sequence[str]) -> Q:
    """Narrow to waits scoped to a model that the signal is not about, as ranges: an index cannot look for "not"."""
    outside = Q(waiting_scope__gt=types[-1]) if types else Q(waiting_scope__gt="")
    for low, high in zip(["", *types], types, strict=False):
        outside |= Q(waiting_scope__gt=low, waiting_scope__lt=high)
    return outside
