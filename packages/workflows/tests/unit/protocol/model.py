"""An explicit-state model of the protocol by which waits, signals, claims, crashes, cancels and timers meet.

It is small enough to look at every interleaving, and written apart from the engine. What it knows of transactions: a
row that was written is locked until the commit; what was written is seen by others after it; a crash undoes it.

One run goes through `names`: it waits for a signal of the first name, then of the second, and is done. Two workers, two
deliverers, hints that are doubled or lost, claims that end under workers that are alive, commits whose answer is
lost, a person who cancels, pauses and resumes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeAlias

__all__ = ["Model", "Protocol", "broken_by", "explore"]

READY, RUNNING, WAITING, PAUSED, DONE, CANCELLED = "ready", "running", "waiting", "paused", "done", "cancelled"
ASKED = "asked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """The rules. Each can be broken."""

    fence: bool = True
    """A worker stores only under the revision that it claimed."""
    cancel_moves_fence: bool = True
    mailbox_look: bool = True
    """Before it waits, a step looks for a signal that was first."""
    wait_lock: bool = True
    """It does so under the lock of the signal's name."""
    delivery_lock: bool = True
    """A delivery holds that lock, too, while it allots the place."""
    receipts: bool = True
    """A run remembers what it has consumed."""
    sweep: bool = True
    delivery_by_sweep: bool = True
    """A signal whose sender died after its commit is delivered all the same."""
    place_at_delivery: bool = True
    """A signal's place is allotted when it is delivered; else when its sender began, as an auto-increment is."""
    order: bool = True
    """Of several signals the first one is delivered first."""
    pause_holds: bool = True
    """A delivery passes over a paused run."""
    resume_look: bool = True
    """Whoever resumes a run looks for a signal that came meanwhile."""
    reread: bool = True
    """A worker that has no answer to its commit reads whether it was done; else it does it once more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What may happen, and how often."""

    names: tuple[str, ...] = ("a",)
    in_turn: bool = False
    """Each signal is sent when the one before it has been; then they must arrive in this order."""
    addressed: bool = True
    """Signals count since the run began; else since the signal that woke it last."""
    crashes: int = 1
    doubles: int = 1
    cancels: int = 1
    timers: int = 0
    losses: int = 2
    """Claims that may end."""
    pauses: int = 0
    """Whoever pauses may resume at any time."""
    unknowns: int = 0
    """Commits whose answer is lost, be they done or refused."""
    protocol: Protocol = field(default_factory=Protocol)


class Run(NamedTuple):
    """The run's row."""

    status: str = READY
    revision: int = 0
    consumed: tuple[int, ...] = ()
    """Signals, in the order in which they ended waits."""
    effects: tuple[int, ...] = ()
    """Signals whose step has committed what it did."""
    place: int = 0
    """Of the signal that began the visit."""
    late_write: bool = False
    """A step was stored after the cancel."""
    held: str = ""
    """Where a paused run was; `asked` while a worker has it."""
    stirred: bool = False
    """Something moved it while it was paused."""


class Sent(NamedTuple):
    """A signal's row, and its sender."""

    stage: str = "unsent"
    """unsent, sending, posted, orphaned (its sender died before it delivered), placed, delivered"""
    place: int = 0


class Worker(NamedTuple):
    """A worker at a run: it has claimed it, has looked into the mailbox and is about to store, or has got no answer.

    Without an answer, `revision` is the one that its commit makes.
    """

    phase: str
    revision: int
    found: int = -1
    """The signal that was first; -1 for none."""


class Deliverer(NamedTuple):
    """A delivery: it has taken a signal and the name, allotted its place, gone on to wake, or looked at the run."""

    signal: int
    phase: str
    place: int = 0
    seen: int = -1
    """The revision of the run that it is about to wake; its row is locked."""


class State(NamedTuple):
    """Everything there is."""

    run: Run
    workers: tuple[Worker | None, ...]
    deliverers: tuple[Deliverer | None, ...]
    sent: tuple[Sent, ...]
    hints: int
    crashes: int
    doubles: int
    cancels: int
    timers: int
    losses: int
    pauses: int
    unknowns: int


Next: TypeAlias = Iterator[State]


def explore(model: Model, limit: int = 2_000_000) -> tuple[int, dict[str, State]]:
    """Visit every state that can be reached; give their number, and one example for each promise that breaks."""
    first = State(
        run=Run(),
        workers=(None, None),
        deliverers=(None, None),
        sent=(Sent(),) * len(model.names),
        hints=1,
        crashes=model.crashes,
        doubles=model.doubles,
        cancels=model.cancels,
        timers=model.timers,
        losses=model.losses,
        pauses=model.pauses,
        unknowns=model.unknowns,
    )
    before: dict[State, list[State]] = {first: []}
    pending = [first]
    broken: dict[str, State] = {}
    while pending:
        state = pending.pop()
        for name in _violations(model, state):
            broken.setdefault(name, state)
        for after in map(_canonical, _steps(model, state)):
            if after not in before:
                before[after] = []
                pending.append(after)
            before[after].append(state)
        if len(before) > limit:
            raise AssertionError(f"more than {limit} states: the model is too large")
    for state in _hopeless(before):
        broken.setdefault(f"stuck {state.run.status}", state)
    return len(before), broken


def _canonical(state: State) -> State:
    """Return the state with those who are alike in one order: which of two workers does something is all the same."""
    (one, two), (three, four) = state.workers, state.deliverers
    workers = (two, one) if _is_before(two, one) else state.workers
    deliverers = (four, three) if _is_before(four, three) else state.deliverers
    return state._replace(workers=workers, deliverers=deliverers)


def _is_before(one: tuple[Any, ...] | None, other: tuple[Any, ...] | None) -> bool:
    return one is not None and (other is None or one < other)


def _violations(model: Model, state: State) -> Iterator[str]:
    run = state.run
    if len(set(run.effects)) < len(run.effects):
        yield "effect twice"
    if len(set(run.consumed)) < len(run.consumed):
        yield "signal consumed twice"
    if run.late_write:
        yield "write after cancel"
    if run.stirred:
        yield "moved while paused"
    if model.in_turn and list(run.consumed) != sorted(run.consumed):
        yield "out of order"


def _hopeless(before: dict[State, list[State]]) -> Iterator[State]:
    """Return the states from which no way leads to an end: a lost wake-up, however long one waits."""
    hopeful = {state for state in before if state.run.status in {DONE, CANCELLED}}
    pending = list(hopeful)
    while pending:
        for earlier in before[pending.pop()]:
            if earlier not in hopeful:
                hopeful.add(earlier)
                pending.append(earlier)
    return (state for state in before if state not in hopeful)


def _steps(model: Model, state: State) -> Next:
    yield from _claims(model, state)
    for index, worker in enumerate(state.workers):
        if worker is not None:
            yield from _work(model, state, index, worker)
    for index in range(len(state.sent)):
        yield from _send(model, state, index)
    for index, deliverer in enumerate(state.deliverers):
        if deliverer is None:
            yield from _begin_delivery(model, state, index)
        else:
            yield from _deliver(model, state, index, deliverer)
    yield from _sweep(model, state)
    yield from _cancel(model, state)
    yield from _pause(state)
    yield from _resume(model, state)


# Workers


def _claims(model: Model, state: State) -> Next:
    """A hint arrives at an idle worker; it may arrive again, or never."""
    if not state.hints:
        return
    yield state._replace(hints=state.hints - 1)
    for index, worker in enumerate(state.workers):
        if worker is not None or state.run.status != READY or _row_is_locked(state):
            continue
        revision = state.run.revision + 1
        claimed = state._replace(
            run=state.run._replace(status=RUNNING, revision=revision),
            workers=_with(state.workers, index, Worker("body", revision)),
            hints=state.hints - 1,
        )
        yield claimed
        if state.doubles:
            yield claimed._replace(hints=state.hints, doubles=state.doubles - 1)


def _work(model: Model, state: State, index: int, worker: Worker) -> Next:
    if state.crashes:
        yield state._replace(workers=_with(state.workers, index, None), crashes=state.crashes - 1)
    if worker.phase == "body":
        yield from _body_ends(model, state, index, worker)
    elif worker.phase == "unsure":
        yield from _asked_again(model, state, index, worker)
    elif not _row_is_locked(state):
        yield from _stored(model, state, index, worker)
        if state.unknowns:
            yield from _without_answer(model, state._replace(unknowns=state.unknowns - 1), index, worker)


def _without_answer(model: Model, state: State, index: int, worker: Worker) -> Next:
    """The connection breaks at the commit: it may have been done, or refused."""
    unsure = worker._replace(phase="unsure", revision=state.run.revision + 1)
    for done in _stored(model, state, index, worker):
        if done.run != state.run:
            yield done._replace(workers=_with(done.workers, index, unsure))
            yield state._replace(workers=_with(state.workers, index, unsure))


def _asked_again(model: Model, state: State, index: int, worker: Worker) -> Next:
    """A worker without an answer reads the run: what was done stands, what was refused is given back."""
    if _row_is_locked(state):
        return
    idle = state._replace(workers=_with(state.workers, index, None))
    run = state.run
    if not model.protocol.reread:
        yield idle._replace(run=run._replace(revision=run.revision + 1, effects=run.effects + run.consumed[-1:]))
    elif run.status == RUNNING and run.revision == worker.revision - 1:
        yield idle._replace(run=_freed(run), hints=1)
    else:
        yield idle


def _freed(run: Run) -> Run:
    """Take the run from its worker; a pause that was asked for takes effect now."""
    if run.held == ASKED:
        return run._replace(status=PAUSED, held=READY, revision=run.revision + 1)
    return run._replace(status=READY, revision=run.revision + 1)


def _is_held(run: Run, worker: Worker) -> bool:
    """Return whether the worker still has the run: that somebody asked for a pause does not end its claim."""
    return run.revision - (run.status == RUNNING and run.held == ASKED) == worker.revision


def _body_ends(model: Model, state: State, index: int, worker: Worker) -> Next:
    """The body is through: it is done, or it will wait, and looks into the mailbox first."""
    name = _wanted(model, state)
    if name is None:
        yield state._replace(workers=_with(state.workers, index, worker._replace(phase="done")))
        return
    if model.protocol.wait_lock and _name_is_locked(model, state, name):
        return
    found = _match(model, state, name) if model.protocol.mailbox_look else -1
    yield state._replace(workers=_with(state.workers, index, worker._replace(phase="wait", found=found)))


def _stored(model: Model, state: State, index: int, worker: Worker) -> Next:
    run = state.run
    idle = state._replace(workers=_with(state.workers, index, None))
    if model.protocol.fence and not _is_held(run, worker):
        yield idle
        return
    after = run._replace(
        revision=run.revision + 1,
        effects=run.effects + run.consumed[-1:],
        late_write=run.late_write or run.status == CANCELLED,
    )
    if worker.phase == "done":
        yield idle._replace(run=after._replace(status=DONE, held=""))
    elif run.held == ASKED:
        yield idle._replace(run=after._replace(status=PAUSED, held=WAITING))
    elif worker.found < 0:
        yield idle._replace(run=after._replace(status=WAITING))
    else:
        yield from _woken(idle._replace(run=after), worker.found, state.sent[worker.found].place)


def _woken(state: State, signal: int, place: int) -> Next:
    """The run consumes a signal and is ready; its hint may be lost."""
    stirred, consumed = state.run.status == PAUSED, (*state.run.consumed, signal)
    run = state.run._replace(status=READY, consumed=consumed, place=place, held="", stirred=stirred)
    yield state._replace(run=run, hints=min(state.hints + 1, 2))
    yield state._replace(run=run)


# Signals


def _send(model: Model, state: State, index: int) -> Next:
    sent = state.sent[index]
    if sent.stage == "unsent":
        if model.in_turn and index and state.sent[index - 1].stage in {"unsent", "sending"}:
            return
        place = 0 if model.protocol.place_at_delivery else _highest(state) + 1
        yield state._replace(sent=_with(state.sent, index, Sent("sending", place)))
    elif sent.stage == "sending":
        yield state._replace(sent=_with(state.sent, index, sent._replace(stage="posted")))
    elif sent.stage == "posted" and state.crashes:
        orphaned = _with(state.sent, index, sent._replace(stage="orphaned"))
        yield state._replace(sent=orphaned, crashes=state.crashes - 1)


def _begin_delivery(model: Model, state: State, index: int) -> Next:
    """A delivery takes the first signal of a name that has no place yet, or goes on where another one has died."""
    stages = {"posted", "orphaned"} if model.protocol.delivery_by_sweep else {"posted"}
    for name in dict.fromkeys(model.names):
        posted = [at for at, sent in enumerate(state.sent) if sent.stage in stages and model.names[at] == name]
        if posted and not (model.protocol.delivery_lock and _name_is_locked(model, state, name)):
            for signal in posted[:1] if model.protocol.order else posted:
                yield _delivering(state, index, Deliverer(signal, "taken"))
        if model.protocol.delivery_by_sweep:
            yield from _go_on(model, state, index, name)


def _go_on(model: Model, state: State, index: int, name: str) -> Next:
    """A delivery turns to the first signal of a name that has its place."""
    placed = [
        (sent.place, at) for at, sent in enumerate(state.sent) if sent.stage == "placed" and model.names[at] == name
    ]
    for _, signal in sorted(placed)[:1] if model.protocol.order else placed:
        yield _delivering(state, index, Deliverer(signal, "waking"))


def _deliver(model: Model, state: State, index: int, deliverer: Deliverer) -> Next:
    if state.crashes:
        yield _delivering(state._replace(crashes=state.crashes - 1), index, None)
    match deliverer.phase:
        case "taken":
            # The row with the highest place is locked by whoever has allotted one, until its commit.
            if not any(other and other.phase == "placing" for other in state.deliverers):
                place = state.sent[deliverer.signal].place or _highest(state) + 1
                yield _delivering(state, index, deliverer._replace(phase="placing", place=place))
        case "placing":
            yield from _placed(model, state, index, deliverer)
        case "waking":
            # It waits here for whoever holds the run, and holds nothing that others want.
            if not _row_is_locked(state):
                place = state.sent[deliverer.signal].place
                seen = _seen(model, state, deliverer.signal, place)
                yield _delivering(state, index, deliverer._replace(phase="looked", place=place, seen=seen))
        case _:
            yield from _delivered(state, index, deliverer)


def _placed(model: Model, state: State, index: int, deliverer: Deliverer) -> Next:
    """The place is committed and the name is free; the delivery goes on to the first that has a place."""
    sent = state.sent[deliverer.signal]
    if sent.stage in {"posted", "orphaned"}:
        sent = sent._replace(stage="placed", place=deliverer.place)
    done = state._replace(sent=_with(state.sent, deliverer.signal, sent))
    idle = _delivering(done, index, None)
    yield from list(_go_on(model, done, index, model.names[deliverer.signal])) or [idle]


def _delivered(state: State, index: int, deliverer: Deliverer) -> Next:
    sent = state.sent[deliverer.signal]._replace(stage="delivered", place=deliverer.place)
    done = _delivering(state._replace(sent=_with(state.sent, deliverer.signal, sent)), index, None)
    if deliverer.seen < 0:
        yield done
    else:
        woken = done._replace(run=done.run._replace(revision=done.run.revision + 1))
        yield from _woken(woken, deliverer.signal, deliverer.place)


def _delivering(state: State, index: int, deliverer: Deliverer | None) -> State:
    return state._replace(deliverers=_with(state.deliverers, index, deliverer))


def _seen(model: Model, state: State, signal: int, place: int) -> int:
    """Return the revision of the run if it waits for the signal; it is then locked until the commit."""
    wanted = _wanted(model, state) == model.names[signal]
    run = state.run
    stands = run.status == WAITING or (not model.protocol.pause_holds and run.status == PAUSED and run.held == WAITING)
    waits = stands and wanted and _counts(model, state, signal, place)
    return state.run.revision if waits else -1


def _match(model: Model, state: State, name: str) -> int:
    """Return the first delivered signal that ends a wait for `name`."""
    found = [
        (sent.place, at)
        for at, sent in enumerate(state.sent)
        if sent.stage in {"placed", "delivered"} and model.names[at] == name and _counts(model, state, at, sent.place)
    ]
    return min(found)[1] if found else -1


def _counts(model: Model, state: State, signal: int, place: int) -> bool:
    if model.protocol.receipts and signal in state.run.consumed:
        return False
    return place > (0 if model.addressed else state.run.place)


# Clock, sweep, people


def _sweep(model: Model, state: State) -> Next:
    run = state.run
    if _row_is_locked(state):
        return
    if state.timers and run.status == WAITING:
        timed_out = run._replace(status=DONE, revision=run.revision + 1)
        yield state._replace(run=timed_out, timers=state.timers - 1)
    if not model.protocol.sweep:
        return
    if run.status == READY and not state.hints:
        yield state._replace(hints=1)
    abandoned = all(worker is None or not _is_held(run, worker) for worker in state.workers)
    if run.status == RUNNING and (abandoned or state.losses):
        yield state._replace(run=_freed(run), hints=1, losses=max(state.losses - 1, 0))


def _cancel(model: Model, state: State) -> Next:
    run = state.run
    if state.cancels and run.status not in {DONE, CANCELLED} and not _row_is_locked(state):
        cancelled = run._replace(status=CANCELLED, revision=run.revision + model.protocol.cancel_moves_fence)
        yield state._replace(run=cancelled, cancels=state.cancels - 1)


def _pause(state: State) -> Next:
    run = state.run
    if not state.pauses or run.held or run.status not in {READY, RUNNING, WAITING} or _row_is_locked(state):
        return
    held = {"held": ASKED} if run.status == RUNNING else {"status": PAUSED, "held": run.status}
    yield state._replace(run=run._replace(revision=run.revision + 1, **held), pauses=state.pauses - 1)


def _resume(model: Model, state: State) -> Next:
    """Whoever resumes a run that waited looks into the mailbox first, as a step does that begins to wait."""
    run = state.run
    if run.status != PAUSED or _row_is_locked(state):
        return
    free = run._replace(status=run.held, held="", revision=run.revision + 1)
    name = _wanted(model, state)
    if run.held == READY or name is None or not model.protocol.resume_look:
        yield state._replace(run=free)
    elif not (model.protocol.wait_lock and _name_is_locked(model, state, name)):
        found = _match(model, state, name)
        if found < 0:
            yield state._replace(run=free)
        else:
            yield from _woken(state._replace(run=free), found, state.sent[found].place)


# What the others hold


def _wanted(model: Model, state: State) -> str | None:
    """Return the name that the run waits for next; None when it has heard all."""
    heard = len(set(state.run.consumed)) if model.protocol.receipts else len(state.run.consumed)
    return model.names[heard] if heard < len(model.names) else None


def _row_is_locked(state: State) -> bool:
    return any(deliverer is not None and deliverer.seen >= 0 for deliverer in state.deliverers)


def _name_is_locked(model: Model, state: State, name: str) -> bool:
    if model.protocol.delivery_lock and any(
        deliverer is not None and deliverer.phase in {"taken", "placing"} and model.names[deliverer.signal] == name
        for deliverer in state.deliverers
    ):
        return True
    holds = model.protocol.wait_lock and _wanted(model, state) == name
    return holds and any(worker is not None and worker.phase == "wait" for worker in state.workers)


def _highest(state: State) -> int:
    return max([sent.place for sent in state.sent] + [each.place for each in state.deliverers if each], default=0)


def _with(items: tuple[Any, ...], index: int, item: object) -> tuple[Any, ...]:
    return (*items[:index], item, *items[index + 1 :])


def broken_by(model: Model, **rules: bool) -> set[str]:
    """Explore the model with some rules broken; return the names of the promises that break."""
    return set(explore(replace(model, protocol=replace(model.protocol, **rules)))[1])
