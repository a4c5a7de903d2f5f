"""One simulated run: a safety phase with faults, then a liveness phase without, in which everything must end."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from automation.workflows.authoring.registry import registry as the_registry
from automation.workflows.engine.engine import Engine
from automation.workflows.errors import WorkflowError
from automation.workflows.ports import Policy, Wiring
from automation.workflows.runs.values import Pause, Run, WorkflowStatus
from tests.simulation.deploys import GAPS, SimRegistry
from tests.simulation.events import SimEvent, SimEvents
from tests.simulation.faults import Crash, DatabaseDown, Faults
from tests.simulation.invariants import Broken, CommitChecks, check_ledger, check_legal, check_outside, require
from tests.simulation.scheduler import Gap, Scheduler, Task
from tests.simulation.storage import SimStorage
from tests.simulation.workload import ITEMS, define, stage

__all__ = ["Simulation", "simulate"]

KINDS = (
    *("chain", "collector", "keyed", "racer", "outside", "parent"),
    *("compensated", "gossip", "failing", "beating", "dated", "poison"),
)
FAIL_ON_PURPOSE = ("failing", "compensated", "dated")
"""No other workflow of the simulated world may end FAILED, but for its lost workers: its attempts never run out."""
LIVE_ROUNDS = 5
"""After so many sweeps without faults whatever was paused for its code has gone on."""


@dataclass
class Sent:
    """What one sender knows of its signals to one collector."""

    run_id: UUID
    acknowledged: list[int] = field(default_factory=list)
    unknown: list[int] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    number: int = 0
    busy: bool = False


class Queue:
    """The executor: hints in a bag, to be taken once it is time for them, in any order, twice, or never."""

    horizon = timedelta(minutes=5)

    def __init__(self, simulation: "Simulation") -> None:
        self._simulation = simulation
        self.bag: list[tuple[UUID, datetime | None]] = []

    def enqueue(self, run_ids: Any, *, run_after: Any = None) -> None:
        self.bag += [(run_id, run_after) for run_id in run_ids]

    def due(self) -> list[int]:
        """Return the places of the hints whose time has come."""
        now = self._simulation.scheduler.clock.at
        return [place for place, (_, run_after) in enumerate(self.bag) if run_after is None or run_after <= now]


class Simulation:
    """A world under one seed."""

    def __init__(
        self, seed: int, *, runs: int = 10, faults: Faults | None = None, scheduler: Scheduler | None = None
    ) -> None:
        self.seed = seed
        setting = Random(seed)
        self.faults = faults or Faults.swarm(setting)
        self.scheduler = scheduler or Scheduler(seed=seed, faults=self.faults)
        self.storage = SimStorage(self.scheduler)
        self.queue = Queue(self)
        self.outside: list[tuple[UUID, int, str]] = []
        self.deliveries = 0
        self.senders: dict[UUID, Sent] = {}
        self.called_off: set[UUID] = set()
        """Runs that somebody cancelled, or tried to."""
        self.missing: frozenset[Gap] = frozenset()
        """What is not in the code of old workers."""
        self.old_workers = 0.0
        """Their share."""
        self.deaths: Counter[tuple[UUID, int]] = Counter()
        """How many workers each visit of a poisoned step has killed."""
        self.workers = setting.randint(1, 4)
        self._ids = Random(seed + 1)
        self._runs = runs
        self.engine = self._engine(setting)
        self.events = SimEvents(self.scheduler, self.storage, self.engine)
        self.engine.wiring.occurrences = self.events
        self.checks = CommitChecks(self.scheduler, self.storage, self.engine.wiring.policy())
        self.storage.on_commit.append(self.checks)

    def chance(self, rate: float) -> bool:
        return self.scheduler.random.random() < rate

    def pick(self, low: int, high: int) -> int:
        return self.scheduler.random.randint(low, high)

    def die(self, run: Run, deaths: int) -> None:
        """Kill the worker, so many times in each visit."""
        if self.deaths[run.id, run.visit] < deaths:
            self.deaths[run.id, run.visit] += 1
            self.scheduler.count("poisoned")
            raise Crash("poison")

    def run(self) -> "Simulation":
        """Both phases. Raises Broken."""
        self.take_the_stage()
        try:
            self._begin()
            self._safety()
            self.end()
        except AssertionError as error:
            raise Broken(f"seed {self.seed}, {self.faults}: {error}") from error
        return self

    def take_the_stage(self) -> None:
        """Make this the world that the workflows act in."""
        if the_registry.newest("chain") is None:
            define()
        stage.world = self

    def end(self) -> None:
        """The liveness phase, and the judgement."""
        self._liveness()
        self._judge()

    def adopt(self) -> None:
        """Send to collectors that were started by a task."""
        for run in self.storage.runs():
            if run.name == "collector" and run.id not in self.senders:
                self.senders[run.id] = Sent(run_id=run.id)

    def drain(self) -> None:
        """Let everybody finish, and deliver every hint."""
        self._drain()

    def _engine(self, setting: Random) -> Engine:
        wiring = Wiring()
        wiring.storage, wiring.executor, wiring.clock = self.storage, self.queue, self.scheduler.clock
        wiring.new_id = lambda: UUID(int=self._ids.getrandbits(128), version=4)
        policy = Policy(
            steps_per_claim=setting.choice((1, 2, 100)),
            batch=setting.choice((1, 2, 500)),
            lost_limit=setting.choice((3, 10_000)),
            missing_grace=timedelta(seconds=setting.choice((0, 10))),
            missing_check=timedelta(seconds=10),
        )
        wiring.policy = lambda: policy
        return Engine(wiring, SimRegistry(the_registry, self.scheduler))

    def _begin(self) -> None:
        for number in range(self._runs):
            kind = self.scheduler.random.choice(KINDS)
            given: dict[str, Any] = {"key": f"k{number % 3}"} if kind in {"keyed", "gossip"} else {}
            if kind == "poison":
                given = {"deaths": number % 5}
            run = self.engine.start(kind, **given)
            if kind == "collector":
                self.senders[run.id] = Sent(run_id=run.id)

    # The safety phase

    def _safety(self) -> None:
        for _ in range(60 * self._runs):
            self._choose()
            self.scheduler.step()
            self._check_outcomes()
        while self.scheduler.tasks:
            require(self.scheduler.step(), "nobody waits for ever", [task.name for task in self.scheduler.tasks])

    def _choose(self) -> None:
        """Let something begin, or time pass."""
        random, faults = self.scheduler.random, self.faults
        dice = random.random()
        if len(self.scheduler.tasks) < self.workers and (places := self._places()):
            self._deliver(places)
        elif dice < 0.02:
            self._sweep()
        elif dice < 0.10:
            self.scheduler.clock.at += timedelta(seconds=random.choice((0.1, 1, 5)))
        elif dice < 0.16:
            self._disturb()
        elif self.chance(faults.jump):
            self.scheduler.count("claims expire under live workers")
            self.scheduler.clock.at += timedelta(seconds=75)
        elif self.chance(faults.meddling):
            self._meddle()
        elif self.chance(faults.absence):
            self._deploy()

    def _places(self) -> Sequence[int]:
        """Return which hints may be taken now: now and then also one that comes early."""
        if self.queue.bag and self.chance(self.faults.duplicate / 10):
            self.scheduler.count("hint early")
            return range(len(self.queue.bag))
        return self.queue.due()

    def _deliver(self, places: Sequence[int]) -> None:
        random = self.scheduler.random
        index = random.choice(places)
        run_id, _ = self.queue.bag[index]
        if self.chance(self.faults.duplicate):
            self.scheduler.count("hint doubled")
        else:
            self.queue.bag.pop(index)
        if self.chance(self.faults.drop):
            self.scheduler.count("hint lost")
            return
        self.deliveries += 1
        self.scheduler.spawn(f"worker {self.deliveries}", lambda: self.engine.execute_step(run_id), lacks=self._lacks())

    def _sweep(self) -> None:
        self.scheduler.spawn("sweep", self.engine.process_scheduled, lacks=self._lacks())

    def _lacks(self) -> frozenset[Gap]:
        return self.missing if self.missing and self.chance(self.old_workers) else frozenset()

    def _deploy(self) -> None:
        """Deploy code that lacks something, to some of the workers or to all; or the whole code again."""
        if self.missing:
            self.missing = frozenset() if self.chance(0.3) else self.missing
            return
        self.scheduler.count("code is missing")
        self.missing = frozenset({self.scheduler.random.choice(GAPS)})
        self.old_workers = self.scheduler.random.choice((0.5, 1.0))

    def _disturb(self) -> None:
        """Send signals: items to collectors, races, keys."""
        what = self.scheduler.random.choice(("item", "race", "keyed", "event", "event"))
        if what == "event":
            self.events.disturb()
        elif what == "item":
            self._send_item()
        elif what == "race":
            self.scheduler.spawn("sender", lambda: self.engine.signal("race"))
        else:
            key = f"k{self.pick(0, 2)}"
            self.scheduler.spawn("sender", lambda: self.engine.signal("keyed", key=key))

    def _send_item(self) -> None:
        idle = [sent for sent in self.senders.values() if not sent.busy and self._is_live(sent.run_id)]
        if not idle:
            return
        sent = self.scheduler.random.choice(idle)
        sent.number += 1
        sent.busy = True
        number = sent.number

        def ended(task: Task) -> None:
            sent.busy = False
            match task.outcome:
                case None:
                    sent.acknowledged.append(number)
                case DatabaseDown():
                    sent.refused.append(number)
                case _:
                    sent.unknown.append(number)

        self.scheduler.spawn("sender", lambda: self.engine.signal("item", {"item": number}, run_id=sent.run_id), ended)

    def _meddle(self) -> None:
        runs = self.storage.runs()
        run = self.scheduler.random.choice(list(runs))
        verb = self.scheduler.random.choice(("cancel", "pause", "resume", "resume", "retry"))

        if verb == "cancel":
            self.called_off.add(run.id)

        def act() -> None:
            try:
                getattr(self.engine, verb)(run.id)
            except WorkflowError:
                # Refused: the run is not there to be moved like that.
                self.scheduler.count(f"{verb} refused")

        self.scheduler.spawn(verb, act)

    def _check_outcomes(self) -> None:
        check_ledger(self.storage) if self.chance(0.02) else None

    # The liveness phase

    def _liveness(self) -> None:
        """No more faults: everything must end, in a bounded time."""
        self.scheduler.faults = Faults()
        self.faults = Faults()
        self.missing = frozenset()
        for number in range(400):
            self._resume_all()
            self.adopt()
            for sent in self.senders.values():
                if self._is_live(sent.run_id) and not sent.busy:
                    self._send_item()
            self.events.turn_true()
            self.events.poll()
            for key in ("k0", "k1", "k2"):
                self.engine.signal("keyed", key=key)
            self._sweep()
            self._drain()
            self.events.check_put_off()
            if number >= LIVE_ROUNDS:
                held = [run for run in self._live() if run.pause is Pause.MISSING]
                require(not held, "what was paused for its code goes on by itself when that is back", held)
            waits = [event for event in self.storage.events.values() if not (event.ended or event.occurred)]
            if not self._live() and not waits and not self.storage.mailbox.undelivered(1):
                return
            self.scheduler.clock.at += timedelta(seconds=15)
        stuck = [(run.name, run.status, run.current_step, run.why) for run in self._live()]
        raise Broken(f"everything ends once the faults have ended: {stuck}")

    def _drain(self) -> None:
        while self.scheduler.tasks or self.queue.due():
            while len(self.scheduler.tasks) < self.workers and (places := self.queue.due()):
                self._deliver(places)
            require(self.scheduler.step(), "nobody waits for ever", [task.name for task in self.scheduler.tasks])

    def _resume_all(self) -> None:
        for run in self._live():
            if run.pause is Pause.PERSON:
                self.engine.resume(run.id)

    def _live(self) -> list[Run]:
        return [run for run in self.storage.runs() if not run.status.is_terminal]

    def _is_live(self, run_id: UUID) -> bool:
        run = self.storage.load(run_id)
        return run is not None and not run.status.is_terminal

    # The judgement

    def _judge(self) -> None:
        check_ledger(self.storage)
        check_outside(self.outside)
        require(not self.storage._locks._owners, "every lock is let go", self.storage._locks._owners)
        require(not list(self.storage.mailbox.undelivered(10)), "every signal is delivered", self.storage.signals())
        require(not self.events.violations, "a reserved start begins neither early nor in vain", self.events.violations)
        for run in self.storage.runs():
            check_legal(run)
            self._judge_run(run)
        for event in self.storage.events.values():
            self._judge_event(event)

    def _judge_run(self, run: Run) -> None:
        data: Any = run.data
        if run.status is WorkflowStatus.FAILED:
            is_meant = run.name in FAIL_ON_PURPOSE or run.id in self.checks.lost_out
            require(is_meant, "nothing fails but what does so on purpose", run)
            if run.name == "dated" and run.id not in self.checks.lost_out:
                is_so = "deadline" in run.error and data["undone"] > 0
                require(is_so, "what fails at its deadline is compensated", run)
        if run.status is WorkflowStatus.CANCELLED:
            require(self._was_called_off(run), "nothing is cancelled that nobody called off", run)
        if run.status is not WorkflowStatus.COMPLETED:
            return
        written = [visit for run_id, visit, _ in self.storage.ledger if run_id == run.id]
        match run.name:
            case "collector":
                self._judge_collector(self.senders[run.id], data["seen"])
            case "racer":
                require(len(data["winners"]) == 1, "one of signal and timeout wins", run)
            case "parent":
                self._judge_parent(run, data["heard"])
            case "chain":
                require(data["visits"] == sorted(set(data["visits"])) == written, "no step is lost or doubled", run)
            case "poison":
                deaths = max((self.deaths[run.id, visit] for visit in range(run.visit + 1)), default=0)
                may_live = deaths < self.engine.wiring.policy().lost_limit or run.id in self.checks.spared
                require(may_live, "poison does not outlive its limit", run)
            case "keyed":
                require(data["heard"], "a keyed wait ends by its signal", run)
        attempts = self.storage.attempts(run.id)
        numbers = [attempt.revision for attempt in attempts]
        require(numbers == sorted(set(numbers)), "the history has one row per attempt", run)

    def _was_called_off(self, run: Run) -> bool:
        """By a person, by the end of its event, or with its parent."""
        if run.id in self.called_off:
            return True
        if run.occurrence is not None and self.storage.event(run.occurrence.id).ended:
            return True
        parent = None if run.parent_id is None else self.storage.load(run.parent_id)
        return parent is not None and self._was_called_off(parent)

    def _judge_event(self, event: SimEvent) -> None:
        """One start for what occurred; none that has not begun for what ended."""
        name = event.occurrence.id
        started = [run for run in self.storage.runs() if run.occurrence is not None and run.occurrence.id == name]
        require(len(started) == 1, "an occurrence starts a workflow once", (event, started))
        if started[0].has_begun or started[0].id in self.checks.lost_out:
            return
        if event.ended:
            require(started[0].status is WorkflowStatus.CANCELLED, "what ended takes its plans along", started)
        if event.occurred:
            require(started[0].status is WorkflowStatus.CANCELLED, "what occurred is begun", started)

    def _judge_collector(self, sent: Sent, seen: list[int]) -> None:
        require(len(seen) == len(set(seen)) == ITEMS, "a signal is consumed once", (sent, seen))
        require(seen == sorted(seen), "signals to one run arrive in the order of sending", (sent, seen))
        require(not set(seen) & set(sent.refused), "what was refused is not stored", (sent, seen))
        passed = [number for number in sent.acknowledged if number <= seen[-1]]
        require(set(passed) <= set(seen), "acknowledged is kept", (sent, seen))

    def _judge_parent(self, run: Run, heard: list[dict[str, Any]]) -> None:
        require(len(heard) == 3, "a parent hears every child", run)
        for entry in heard:
            child = self.storage.load(UUID(entry["id"]))
            require(entry["status"] in {"completed", "failed", "cancelled"}, "a parent hears how a child ended", entry)
            if child is not None and self.scheduler.coverage.get("retry", 0) == 0 and child.status != entry["status"]:
                was_failed = entry["status"] == "failed"
                require(was_failed, "a parent hears the truth", (entry, child.status))


def simulate(seed: int, **options: Any) -> Simulation:
    """Run the world of one seed to its end."""
    return Simulation(seed, **options).run()
