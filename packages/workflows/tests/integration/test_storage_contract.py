"""DjangoStorage keeps the storage contract on whatever database this runs."""

from collections.abc import Callable, Sequence, Sized
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from django.db import IntegrityError, connection, connections
from django.test.utils import CaptureQueriesContext

from automation.testing.contracts import StorageContract
from automation.testing.contracts.side_by_side import Beside
from automation.workflows.django_storage import DjangoStorage
from automation.workflows.models import MailboxPosition, WorkflowAttempt
from automation.workflows.ports import Storage
from automation.workflows.retention import cleanup
from automation.workflows.runs.values import Attempt, AttemptOutcome


def closing_connections(action: Callable[[], Any]) -> Callable[[], Any]:
    """Close the thread's own connections when it ends; nobody else would."""

    def act() -> Any:
        try:
            return action()
        finally:
            connections.close_all()

    return act


@pytest.mark.django_db(transaction=True, available_apps=["automation.workflows"])
class TestDjangoStorage(StorageContract):
    """Every claim of the contract, with real commits."""

    def make_storage(self) -> Storage:
        return DjangoStorage()

    def beside(self, action: Callable[[], Any]) -> Beside:
        return Beside(closing_connections(action))

    def swallow_an_error(self, storage: Storage) -> bool:
        with suppress(IntegrityError):
            for _ in range(2):
                MailboxPosition.objects.create(pk=7)
        return True

    def clean_up(self, storage: Storage, now: datetime) -> bool:
        cleanup(now)
        return True

    def statements(self, storage: Storage) -> AbstractContextManager[Sized]:
        return CaptureQueriesContext(connection)

    def attempts_of(self, storage: Storage, run_id: UUID) -> Sequence[Attempt]:
        return [
            Attempt(
                run_id=row.run_id,
                revision=row.revision,
                step=row.step,
                visit=row.visit,
                number=row.number,
                outcome=AttemptOutcome(row.outcome),
                started_at=row.started_at.astimezone(UTC),
                finished_at=row.finished_at.astimezone(UTC),
                detail=row.detail,
            )
            for row in WorkflowAttempt.objects.filter(run_id=run_id).order_by("revision")
        ]
