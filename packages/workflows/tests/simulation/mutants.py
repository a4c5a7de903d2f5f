"""The protocol's rules, each broken once: `python -m tests.simulation.mutants` tells which test notices.

Every mutant is one change to a copy of the source. A mutant that no test kills is a hole in the suite.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["MUTANTS", "PACKAGE", "Mutant", "Undecided", "killer"]

LIMIT_SECONDS = 1200
"""Ten times what the suite takes on a quiet machine."""
PURE = ("tests/unit", "tests/simulation")
STORED = tuple(f"tests/integration/test_{name}.py" for name in ("storage_contract", "retention", "engine"))
"""What judges a mutant of the Django shell, which is the package's root; on the database of the environment."""
HERE = Path(__file__).resolve().parents[2]
PACKAGE = HERE / "src" / "automation" / "workflows"


@dataclass(frozen=True, slots=True)
class Mutant:
    """One rule, broken."""

    name: str
    file: str
    before: str
    after: str


MUTANTS: Sequence[Mutant] = (
    Mutant(
        "no fence when a run is stored",
        "engine/memory/storage.py",
        "if stored is None or stored.revision != before.revision:",
        "if stored is None:",
    ),
    Mutant(
        "a cancel does not move the fence",
        "runs/decide.py",
        "    after = replace(after, revision=run.revision + 1, updated_at=now)",
        "    moved = 0 if isinstance(cause, causes.CancelRequested) else 1\n"
        "    after = replace(after, revision=run.revision + moved, updated_at=now)",
    ),
    Mutant(
        "a wake does not move the fence",
        "runs/decide.py",
        "    after = replace(after, revision=run.revision + 1, updated_at=now)",
        "    moved = 0 if isinstance(cause, causes.Due | causes.Signalled) else 1\n"
        "    after = replace(after, revision=run.revision + moved, updated_at=now)",
    ),
    Mutant(
        "a lost claim is taken for ours",
        "engine/finishing.py",
        "and (stored.visit, stored.attempt, stored.lost_claims) == (held.visit, held.attempt, held.lost_claims)",
        "and stored.visit == held.visit",
    ),
    Mutant(
        "anything that is stored is taken for ours",
        "engine/finishing.py",
        "        and stored.status is WorkflowStatus.RUNNING\n",
        "",
    ),
    Mutant(
        "an edit passes over the start that a worker is deciding about",
        "engine/memory/plans.py",
        "    return not run.status.is_terminal and run.occurrence.id in occurrence_ids",
        "    return run.status in _HELD and run.occurrence.id in occurrence_ids",
    ),
    Mutant(
        "a start is put off although its event has changed since",
        "engine/working.py",
        "            self._finisher.not_begun(attempt.claim, attempt.not_begun)",
        "            self._finisher.ended(attempt.claim, attempt.not_begun)",
    ),
    Mutant(
        "a pause throws the running step away",
        "engine/finishing.py",
        "            if run is None or not is_ours(run, held):",
        "            if run is None or run.revision != held.revision:",
    ),
    Mutant(
        "a wait is committed without a look into the mailbox",
        "engine/finishing.py",
        "        signal = next(iter(first), None)",
        "        signal = None",
    ),
    Mutant(
        "a wait looks into the mailbox without the lock of the name",
        "engine/finishing.py",
        "            self._runtime.mailbox.lock(result.signal)",
        "            pass",
    ),
    Mutant(
        "a delivery allots positions without the lock of the name",
        "engine/delivering.py",
        "            mailbox.lock(name)",
        "            pass",
    ),
    Mutant(
        "a delivery that is not finished is settled as finished",
        "engine/delivering.py",
        "            if not is_full or signal.run_id is not None:\n",
        "            if True:\n",
    ),
    Mutant(
        "a consumed signal leaves no receipt",
        "runs/decide.py",
        "        consumed=cause.signal.id if isinstance(cause, causes.Signalled) else None,",
        "        consumed=None,",
    ),
    Mutant(
        "positions are allotted without a lock: an order of starting, not of commits",
        "engine/memory/mailbox.py",
        "        open_.lock(_POSITIONS)\n",
        "",
    ),
    Mutant(
        "signals are delivered in the order of their times",
        "engine/memory/mailbox.py",
        "            for signal in _undelivered(open_):\n",
        "            for signal in sorted(_undelivered(open_), key=lambda each: (each.sent_at, each.id)):\n",
    ),
    Mutant(
        "a visit begins at the mailbox's head, not at the signal that woke it",
        "runs/decide.py",
        "    return enter(run, step, wake, now, max(signal.position or 0, run.visit_position))",
        "    return enter(run, step, wake, now, max(signal.position or 0, run.visit_position) + 2)",
    ),
    Mutant(
        "the runs hint before the commit",
        "engine/hints.py",
        "self._runtime.storage.after_commit(partial(self._work_off, run_ids))",
        "self._work_off(run_ids)",
    ),
    Mutant(
        "what was to follow the commit follows a rollback",
        "engine/memory/transactions.py",
        "        except BaseException:\n            transaction.actions.clear()\n            raise\n",
        "        except Exception:\n            _call_all(transaction.actions)\n            raise\n",
    ),
    Mutant(
        "what is due exactly now is not due",
        "engine/claiming.py",
        "run.next_at is not None and run.next_at <= now",
        "run.next_at is not None and run.next_at < now",
    ),
    Mutant(
        "the sweep passes over what is due exactly now",
        "engine/memory/storage.py",
        "found = [run for run in open_.live() if run.next_at is not None and run.next_at <= now]",
        "found = [run for run in open_.live() if run.next_at is not None and run.next_at < now]",
    ),
    Mutant(
        "a hint makes a timer early",
        "engine/claiming.py",
        "    return run.status is WorkflowStatus.WAITING and run.next_at is not None and run.next_at <= now",
        "    return run.status is WorkflowStatus.WAITING and run.next_at is not None",
    ),
    Mutant(
        "the sweep looks back one day only",
        "engine/memory/storage.py",
        "found = [run for run in open_.live() if run.next_at is not None and run.next_at <= now]",
        "found = [run for run in open_.live() if run.next_at and 0 <= (now - run.next_at).total_seconds() < 86400]",
    ),
    Mutant(
        "a wake leaves the old wait standing",
        "runs/visits.py",
        "        status=WorkflowStatus.READY,\n        wait=None,",
        "        status=WorkflowStatus.READY,\n        wait=run.wait,",
    ),
    Mutant(
        "a renewed wait counts anew",
        "runs/returning.py",
        "if wake is not None and is_renewed and wake.deadline_at:",
        "if wake is not None and not is_renewed and wake.deadline_at:",
    ),
    Mutant(
        "attempts leak from one step into the next",
        "runs/visits.py",
        "        visit=visit,\n        attempt=0,",
        "        visit=visit,\n        attempt=run.attempt,",
    ),
    Mutant(
        "lost workers are not counted",
        "runs/failing.py",
        "lost = replace(run, lost_claims=run.lost_claims + 1, claim_expires_at=None)",
        "lost = replace(run, claim_expires_at=None)",
    ),
    Mutant(
        "poison goes round for ever",
        "runs/failing.py",
        "    if lost.lost_claims >= cause.limit and definition is not None:",
        "    if lost.lost_claims > cause.limit + 10 and definition is not None:",
    ),
    Mutant(
        "a storage that is away for a moment uses up the losses of a run at once",
        "engine/resting.py",
        "    if not run.lost_claims:\n",
        "    if run.lost_claims >= 0:\n",
    ),
    Mutant(
        "a start whose event cannot be read is looked at again and again at once",
        "engine/resting.py",
        "    return now + pause.delay(1, chance(run))",
        "    return now",
    ),
    Mutant(
        "a database of events that is away uses up the losses of a start",
        "engine/working.py",
        "            return self._put_off(claim, away)",
        "            return self._recovered(claim, attempt, away)",
    ),
    Mutant(
        "a run that rests is handed out at once",
        "runs/decide.py",
        "run_after=after.next_at if is_held_back else None",
        "run_after=None",
    ),
    Mutant(
        "a step that cleans up rests as the one that failed would have",
        "runs/decide.py",
        "cause.again_at is not None and after.visit == run.visit",
        "cause.again_at is not None",
    ),
    Mutant(
        "a run rests past its deadline",
        "runs/failing.py",
        "next_at=earliest(run, cause.again_at)",
        "next_at=cause.again_at",
    ),
    Mutant(
        "a dead worker's run rests once more after its claim",
        "engine/sweeping.py",
        "cause = causes.Lost(limit=policy.lost_limit, reason=reason, position=position)",
        "cause = causes.Lost(limit=policy.lost_limit, reason=reason, position=position, again_at=now + policy.rehint)",
    ),
    Mutant(
        "the sweep does not rescue lost workers",
        "engine/sweeping.py",
        "            case WorkflowStatus.RUNNING:\n                return self._lost(run)\n",
        "",
    ),
    Mutant(
        "the sweep does not repeat lost hints",
        "engine/sweeping.py",
        '        self._hints.give([run.id])\n        return "hinted"',
        '        return "hinted"',
    ),
    Mutant(
        "the sweep does not deliver signals",
        "engine/sweeping.py",
        '        counts["delivered"] = self._deliver(max(1, limit // 10) if stop() else limit, counts)',
        '        counts["delivered"] = 0',
    ),
    Mutant(
        "the sweep stops at the first error",
        "engine/sweeping.py",
        '            self._put_back(run)\n            return "errors"',
        "            raise",
    ),
    Mutant(
        "a poisoned row is not put back",
        "engine/sweeping.py",
        '            self._put_back(run)\n            return "errors"',
        '            return "errors"',
    ),
    Mutant(
        "only Exceptions of a step are recorded",
        "engine/invoke.py",
        "        if not _is_from_user_code(error):\n            raise\n",
        "        raise\n",
    ),
    Mutant(
        "a raise loses what the step did to the Context",
        "engine/invoke.py",
        "    if not scope.step.retry.keep_context:",
        "    if scope.step.retry.keep_context:",
    ),
    Mutant(
        "a payload is merged again on a retry",
        "engine/claiming.py",
        "is_first = run.attempt == 0 and run.lost_claims == 0",
        "is_first = True",
    ),
    Mutant(
        "a failed child does not reach its parent",
        "runs/children.py",
        "    if child.parent_id is None:",
        "    if child.parent_id is None or child.status.name == 'FAILED':",
    ),
    Mutant(
        "a cancel does not reach the children",
        "runs/decide.py",
        "    if run.children_pending and not after.children_pending and not isinstance(cause, causes.ChildEnded):",
        "    if run.children_pending and isinstance(cause, causes.Lost):",
    ),
    Mutant(
        "a commit whose answer was lost is taken for a failure",
        "engine/working.py",
        "        if finish is not None and stored == finish.transition.after:",
        "        if finish is not None and stored is None:",
    ),
    Mutant(
        "a storage that fails leaves the run to its claim",
        "engine/working.py",
        "        if stored is None or not is_ours(stored, claim.run):\n            return None\n",
        "        if stored is not None:\n            return None\n",
    ),
    Mutant(
        "a step that is not atomic shares a transaction after all",
        "engine/working.py",
        "        if claim.step.atomic:\n",
        "        if True:\n",
    ),
    Mutant(
        "an atomic step has no transaction",
        "engine/working.py",
        "        if claim.step.atomic:\n",
        "        if False:\n",
    ),
    Mutant(
        "a late result is stored",
        "engine/invoke.py",
        "        _check_time(runtime, scope)\n",
        "",
    ),
    Mutant(
        "programming errors are retried",
        "engine/working.py",
        "        ends = raised.final or retry.gives_up(raised.error, failed)",
        "        ends = retry.gives_up(raised.error, failed)",
    ),
    Mutant(
        "what came while a run was paused is forgotten",
        "engine/operating.py",
        "        if resumed.wait is not None and resumed.wait.signal:\n"
        "            moves += self._signals(resumed, resumed.wait)\n",
        "",
    ),
    Mutant(
        "a worker never yields",
        "engine/finishing.py",
        "return self.steps < policy.steps_per_claim and now - self.began_at < policy.time_per_claim and not is_late",
        "return True",
    ),
    Mutant(
        "an entity's event wakes another entity's run",
        "runs/matching.py",
        "    return bool(wait.entity_type) and all(subject.type != wait.entity_type for subject in signal.subjects)",
        "    return True",
    ),
    Mutant(
        "a broadcast from before the visit wakes",
        "runs/matching.py",
        "signal.position > wait.broadcasts_after",
        "signal.position > 0",
    ),
    Mutant(
        "an occurrence sends its signal each time it is announced",
        "engine/memory/mailbox.py",
        "                if open_.signal(signal.id) is None:\n",
        "                if True:\n",
    ),
    Mutant(
        "what is due is asked before the deadline",
        "engine/claiming.py",
        "        if (over := past_deadline(self._runtime, run)) is not None:\n            return over, None\n",
        "",
    ),
    Mutant(
        "code that does not know the workflow ends it at its deadline",
        "engine/deadlines.py",
        "    if definition is None:\n",
        "    if False:\n",
    ),
    Mutant(
        "a visit that goes on after its failure keeps its number",
        "runs/visits.py",
        "ready(replace(run, visit=run.visit + 1, attempt=0, lost_claims=0), now)",
        "ready(replace(run, attempt=0, lost_claims=0), now)",
    ),
    Mutant(
        "a payload is merged again after a failure",
        "engine/claiming.py",
        "wake.kind is not WakeKind.SIGNAL",
        "wake.cause is not WakeKind.SIGNAL",
    ),
    Mutant(
        "a cascade takes the run whose step is being stored",
        "engine/moving.py",
        "if run_id != spared and (move",
        "if (move",
    ),
    Mutant(
        "missing code costs an attempt",
        "runs/decide.py",
        "        missing_since=run.missing_since or now,\n",
        "        missing_since=run.missing_since or now,\n        attempt=run.attempt + 1,\n",
    ),
    Mutant(
        "a deploy has no time of grace",
        "engine/claiming.py",
        "over = absent.pause is Pause.CONTEXT or now - since >= policy.missing_grace",
        "over = True",
    ),
    Mutant(
        "what is paused for its code never goes on",
        "engine/sweeping.py",
        '        self._operator.let_go_on(run)\n        return "resumed"',
        '        return "passed"',
    ),
    Mutant(
        "a moved start that is paused for its code is forgotten",
        "engine/memory/plans.py",
        "next_at=run.next_at if run.status is WorkflowStatus.PAUSED else planned,",
        "next_at=None if run.status is WorkflowStatus.PAUSED else planned,",
    ),
    Mutant(
        "a lost worker takes the pause along that was asked for",
        "engine/sweeping.py",
        "self._mover.apply([held_after(lost, now)])",
        "self._mover.apply([lost])",
    ),
    Mutant(
        "a worker goes on past the deadline",
        "engine/finishing.py",
        "is_late = run.deadline_at is not None and run.deadline_at <= now",
        "is_late = False",
    ),
    Mutant(
        "a compensation is bound by the deadline that it follows",
        "runs/failing.py",
        "replace(run, error=error, deadline_at=None)",
        "replace(run, error=error)",
    ),
    Mutant(
        "a retry is bound by the deadline that has passed",
        "runs/decide.py",
        'fresh = replace(run, error="", finished_at=None, deadline_at=_new_deadline(definition, now))',
        'fresh = replace(run, error="", finished_at=None)',
    ),
    Mutant(
        "poison that was spared once goes round for ever",
        "runs/failing.py",
        "if lost.lost_claims >= cause.limit and",
        "if lost.lost_claims == cause.limit and",
    ),
    Mutant(
        "a heartbeat renews another worker's claim",
        "engine/working.py",
        "            if held is None or not is_ours(held, run):\n                break\n            try:",
        "            if held is None:\n                break\n            try:",
    ),
    Mutant(
        "a resume passes over the deadline that came meanwhile",
        "engine/operating.py",
        "        if resumed.status is not WorkflowStatus.RUNNING and (over := past_deadline(self._runtime, resumed)):\n"
        "            return fold(moves[0], over)\n",
        "",
    ),
    Mutant(
        "no fence when one row is stored",
        "django_storage.py",
        "filter(pk=move.before.id, revision=move.before.revision)",
        "filter(pk=move.before.id)",
    ),
    Mutant(
        "no fence when rows are stored together",
        "django_storage.py",
        "if stored.pop(move.before.id, None) != move.before.revision:",
        "if stored.pop(move.before.id, None) is None:",
    ),
    Mutant(
        "a refused commit counts as a lost worker",
        "django_storage.py",
        "or isinstance(error, OperationalError):",
        "or isinstance(error, DatabaseError):",
    ),
    Mutant(
        "a row of the table consumes a signal twice",
        "mailbox.py",
        '            ~Exists(WorkflowReceipt.objects.filter(run_id=OuterRef("pk"), signal_id=signal.id)),\n',
        "",
    ),
    Mutant(
        "a position is allotted twice",
        "mailbox.py",
        "(row := stored.get(signal.id)) and row.position is None]",
        "(row := stored.get(signal.id))]",
    ),
    Mutant(
        "an edit of the data moves what has begun",
        "plans.py",
        "            data__isnull=True,\n",
        "",
    ),
    Mutant(
        "cleaning up forgets keys",
        "retention.py",
        "filter(pk__in=set(ids) - set(keyed))",
        "filter(pk__in=ids)",
    ),
    Mutant(
        "cleaning up takes signals that are not delivered",
        "retention.py",
        "        pending__isnull=True, sent_at__lt",
        "        sent_at__lt",
    ),
)


class Undecided(Exception):
    """The suite neither passed nor failed: it was stopped, or could not be run. That is no kill."""


def killer(mutant: Mutant) -> str | None:
    """Return the first test that fails with the mutant in place; None when all pass. Raises Undecided."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "automation" / "workflows"
        shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        changed = copy / mutant.file
        source = changed.read_text()
        assert source.count(mutant.before) == 1, f"{mutant.name!r} no longer fits {mutant.file}"
        changed.write_text(source.replace(mutant.before, mutant.after))
        return _first_failure(folder, PURE if "/" in mutant.file else STORED)


def _first_failure(folder: str, tests: Sequence[str]) -> str | None:
    environment = {**os.environ, "PYTHONPATH": folder, "AUTOMATION_DELIVERIES": "40000", "PYTHONDONTWRITEBYTECODE": "1"}
    # The short form: of the long one nothing would end in time, whatever the mutant.
    environment.pop("AUTOMATION_LONG", None)
    environment["AUTOMATION_TEST_SUFFIX"] = environment.get("AUTOMATION_TEST_SUFFIX", "") + "_mutants"
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:randomly", "-p", "no:cacheprovider"]
    command += ["--deselect", "tests/simulation/test_mutants.py", *tests]
    try:
        done = subprocess.run(
            command, cwd=HERE, env=environment, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise Undecided(f"the suite did not end within {LIMIT_SECONDS} seconds") from None
    # A file that cannot be imported says nothing about the rule; one whose first lines find it broken does.
    failed = re.search(r"^(?:FAILED|ERROR) (\S+::\S+|\S+(?= - AssertionError))", done.stdout, re.MULTILINE)
    if failed is not None:
        return failed.group(1)
    if done.returncode:
        raise Undecided(f"pytest ended with {done.returncode}: {done.stderr[-300:]}")
    return None


def main() -> int:
    """Report every mutant; return the number of those that no test is known to kill."""
    survivors = 0
    chosen = sys.argv[1:]
    for number, mutant in enumerate(MUTANTS, start=1):
        if chosen and str(number) not in chosen:
            continue
        try:
            verdict = killer(mutant) or "SURVIVES"
        except Undecided as error:
            verdict = f"UNDECIDED: {error}"
        survivors += verdict.startswith(("SURVIVES", "UNDECIDED"))
        print(f"{number:3} {mutant.name}: {verdict}", flush=True)
    print(f"{len(MUTANTS)} mutants, {survivors} not killed")
    return survivors


if __name__ == "__main__":
    sys.exit(main())
