"""What must hold after every commit, and at the end. Each has a name, so that a failure says which promise broke."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

from automation.workflows.engine.memory.tables import Changes
from automation.workflows.ports import Policy
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

    def __init__(self, scheduler: Scheduler, storage: SimStorage, policy: Policy) -> None:
        self._scheduler = scheduler
        self._storage = storage
        self._policy = policy
        self._losses: Counter[tuple[UUID, int]] = Counter()
        """Workers that were lost, for each visit."""
        self.lost_out: set[UUID] = set()
        """Runs that failed for them."""
        self.spared: set[UUID] = set()
        """Runs whose last loss was seen by code that does not know them: it leaves their end to code that does."""

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
            due = was.next_at
            require(due is not None and due <= self._latest, "a timer is never early", (was, run))
        require(run.visit in {was.visit, was.visit + 1, was.visit + 2}, "visits are counted one by one", (was, run))
        self._held(was, run)
        self._without_code(was, run)
        self._dated(was, run)
        self._lost(was, run)

    def _held(self, was: Run, run: Run) -> None:
        """A pause is ended by whoever may end it, and by nobody else."""
        by = None if self._scheduler.current is None else self._scheduler.current.name
        is_resumed = by in {None, "resume"}
        if was.status is WorkflowStatus.RUNNING and was.pause_requested and not is_resumed:
            still = run.pause_requested or run.status is WorkflowStatus.PAUSED or run.status.is_terminal
            require(still, "a pause that was asked for is kept", (was, run))
        if was.status is WorkflowStatus.PAUSED and run.status not in {WorkflowStatus.PAUSED, WorkflowStatus.CANCELLED}:
            may = is_resumed if was.pause is Pause.PERSON else by == "sweep"
            require(may, "a person's pause is ended by a person, one for its code by the code", (by, was, run))

    def _without_code(self, was: Run, run: Run) -> None:
        """A run whose code is missing costs nothing, and goes on with that code alone."""
        gone = {(run.name, ""), (run.name, run.current_step)} & self._scheduler.lacks
        is_held = run.pause is Pause.MISSING
        if run.missing_since is not None and was.missing_since is None and was.status is WorkflowStatus.READY:
            kept = [(each.visit, each.attempt, each.lost_claims, each.data) for each in (was, run)]
            require(kept[0] == kept[1], "missing code costs neither an attempt nor a worker", (was, run))
        if is_held and was.pause is not Pause.MISSING:
            self._scheduler.count("paused for its code")
            require(bool(gone), "none is paused whose code is there", (was, run))
            assert run.missing_since is not None
            over = run.missing_since + self._policy.missing_grace
            require(over <= self._latest, "a deploy has its time of grace", (was, run))
        if was.pause is Pause.MISSING and run.pause is Pause.NONE and run.status is not WorkflowStatus.CANCELLED:
            self._scheduler.count("went on when its code was back")
            require(not gone, "a run goes on with the code that it was paused for", (was, run))

    def _dated(self, was: Run, run: Run) -> None:
        """A workflow's deadline is kept, to the moment."""
        is_over, was_over = (each.error.startswith("The workflow's deadline") for each in (run, was))
        if is_over and not was_over:
            self._scheduler.count("failed at its deadline")
            require(was.deadline_at is not None and was.deadline_at <= self._latest, "a deadline is never early", was)
        begins = run.status is WorkflowStatus.RUNNING and (was.status is not run.status or was.visit != run.visit)
        if begins and run.deadline_at is not None:
            require(run.updated_at < run.deadline_at, "no step begins past the workflow's deadline", (was, run))

    def _lost(self, was: Run, run: Run) -> None:
        """Lost workers are counted, one by one; as many as are allowed end the run, and no fewer."""
        if was.status is not WorkflowStatus.RUNNING:
            return
        ends = run.error != was.error and "came to no end" in run.error
        is_lost = run.visit == was.visit and run.lost_claims > was.lost_claims
        if not (ends or is_lost):
            return
        self._losses[run.id, was.visit] += 1
        losses = self._losses[run.id, was.visit]
        if is_lost:
            require(run.lost_claims == losses, "each lost worker is counted once", (was, run, losses))
        if ends:
            self._scheduler.count("failed for its lost workers")
            self.lost_out.add(run.id)
            require(losses >= self._policy.lost_limit, "poison is given all the workers it is allowed", (was, run))
        elif losses >= self._policy.lost_limit:
            require((run.name, "") in self._scheduler.lacks, "poison ends when it has used them up", (was, run))
            self.spared.add(run.id)

    @property
    def _latest(self) -> datetime:
        """The time by the clock that is most ahead."""
        return self._scheduler.clock.at + timedelta(seconds=self._scheduler.faults.skew)


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
    """Outside effects happen at least once, with one key for all attempts of a call.

    A call is told by the run's own Context: a retry by hand goes on with the visit that failed, under a new number.
    """
    keys: dict[tuple[UUID, int], set[str]] = {}
    for run_id, call, key in outside:
        keys.setdefault((run_id, call), set()).add(key)
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
