"""What must hold after every commit, and at the end. Each has a name, so that a failure says which promise broke."""

from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

from automation.workflows.engine.memory.tables import Changes
from automation.workflows.runs.transitions import TRANSITIONS
from automation.workflows.runs.values import Pause, Run, WorkflowStatus
from tests.simulation.scheduler import Scheduler
from tests.simulation.storage import SimStorage

__all__ = ["Broken", "CommitChecks", "check_ledger", "check_legal", "check_outside"]


class Broken(AssertionError):
    """An invariant does not hold."""


def require(holds: bool, name: str, about: object) -> None:
    if not holds:
        raise Broken(f"{name}: {about!r}")


class CommitChecks:
    """What every commit must keep."""

    def __init__(self, scheduler: Scheduler, storage: SimStorage) -> None:
        self._scheduler = scheduler
        self._storage = storage

    def __call__(self, before: Mapping[UUID, Run], changes: Changes) -> None:
        for run in changes.runs.values():
            was = before.get(run.id)
            check_legal(run)
            if was is not None:
                self._moved(was, run)
        for run_id, signal_id in changes.receipts:
            require(
                (run_id, signal_id) not in self._storage._tables.receipts,
                "a signal is consumed once",
                (run_id, signal_id),
            )

    def _moved(self, was: Run, run: Run) -> None:
        require(run.revision > was.revision, "every stored change moves the fence", (was, run))
        require(not _is_final(was), "the final stays final", (was, run))
        if was.status is WorkflowStatus.FAILED:
            require(run.status is WorkflowStatus.READY, "only a retry leaves FAILED", (was, run))
        if run.status is not was.status and run.revision == was.revision + 1 and not _is_folded(was, run):
            allowed = {status for targets in TRANSITIONS[was.status].values() for status in targets}
            require(run.status in allowed, "a run moves as the table says", (was.status, run.status))
        if was.status is WorkflowStatus.WAITING and _was_timer(was, run):
            tolerance = timedelta(seconds=self._scheduler.faults.skew)
            due = was.next_at
            require(
                due is not None and due <= self._scheduler.clock.at + tolerance, "a timer is never early", (was, run)
            )
        require(run.visit in {was.visit, was.visit + 1, was.visit + 2}, "visits are counted one by one", (was, run))


def check_legal(run: Run) -> None:
    """Stuck is impossible: everything that is not moving says what will move it."""
    match run.status:
        case WorkflowStatus.READY:
            require(run.next_at is not None, "a READY run is swept", run)
        case WorkflowStatus.RUNNING:
            require(run.claim_expires_at is not None and run.next_at == run.claim_expires_at, "a claim expires", run)
        case WorkflowStatus.WAITING:
            awaited = run.next_at is not None or (run.wait is not None and bool(run.wait.signal)) or not run.has_begun
            require(awaited, "a WAITING run waits for something", run)
        case WorkflowStatus.PAUSED:
            require(run.pause is not Pause.NONE and bool(run.why), "a PAUSED run says why", run)
        case _:
            nothing = run.next_at is None and run.wait is None and run.claim_expires_at is None
            require(nothing and run.finished_at is not None, "an ended run waits for nothing", run)
    if run.status is not WorkflowStatus.RUNNING:
        require(run.claim_expires_at is None and not run.pause_requested, "only a RUNNING run is claimed", run)


def check_ledger(storage: SimStorage) -> None:
    """Committed effects happen exactly once for each visit of a step."""
    doubled = [entry for entry, times in Counter(storage.ledger).items() if times > 1]
    require(not doubled, "a visit's rows are committed once", doubled)
    visits = Counter((run_id, visit) for run_id, visit, _ in storage.ledger)
    require(all(times == 1 for times in visits.values()), "a visit is of one step", visits.most_common(1))


def check_outside(outside: list[tuple[UUID, int, str]]) -> None:
    """Outside effects happen at least once, with one key for all attempts of a visit."""
    keys: dict[tuple[UUID, int], set[str]] = {}
    for run_id, visit, key in outside:
        keys.setdefault((run_id, visit), set()).add(key)
    require(all(len(each) == 1 for each in keys.values()), "a visit has one idempotency key", keys)
    distinct = [key for each in keys.values() for key in each]
    require(len(distinct) == len(set(distinct)), "two visits have two keys", distinct)


def _is_final(run: Run) -> bool:
    return run.status in {WorkflowStatus.COMPLETED, WorkflowStatus.CANCELLED}


def _was_timer(was: Run, run: Run) -> bool:
    """A WAITING run that went on without consuming a signal, by no person's hand."""
    if run.status in {WorkflowStatus.CANCELLED, WorkflowStatus.PAUSED, WorkflowStatus.WAITING}:
        return False
    wake = run.wake
    by_time = wake is not None and wake.cause in {"timer", "timeout"}
    return by_time or (was.wait is None and was.has_begun)


def _is_folded(was: Run, run: Run) -> bool:
    """Several causes in one stored change pass through statuses that the table has one by one."""
    pairs = {
        (WorkflowStatus.WAITING, WorkflowStatus.RUNNING),
        (WorkflowStatus.RUNNING, WorkflowStatus.PAUSED),
    }
    return (was.status, run.status) in pairs
