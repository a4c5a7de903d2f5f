"""What a step asks of the engine while it runs: kept here, done at its commit, forgotten when it raises."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias
from uuid import UUID

from automation.workflows.errors import UsageError
from automation.workflows.runs.values import Run, Signal

__all__ = ["Buffer", "Order", "Verb"]

Verb: TypeAlias = Literal["cancel", "pause", "resume", "retry"]

_INSTEAD = {
    "cancel": "return fail(...) or complete() instead",
    "pause": "return wait(...) or sleep(...) instead",
    "resume": "it is not paused while it runs",
    "retry": "raise, or return goto(...) instead",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One verb about another run."""

    verb: Verb
    run_id: UUID
    reason: str = ""
    step: str | None = None


@dataclass(slots=True)
class Buffer:
    """The starts, signals and orders of one attempt."""

    own: UUID
    starts: list[Run] = field(default_factory=list)
    signals: list[Signal] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)

    def start(self, run: Run, limit: int) -> None:
        """Keep a start. Raises UsageError beyond what one step may start."""
        if len(self.starts) >= limit:
            raise UsageError(
                f"A step may start {limit} runs. Start fewer, or raise AUTOMATION_WORKFLOWS['STARTS_PER_STEP']."
            )
        self.starts.append(run)

    def signal(self, signal: Signal, limit: int) -> None:
        """Keep a signal. Raises UsageError beyond what one step may send; all are forgotten with the attempt."""
        if len(self.signals) >= limit:
            receiver = "" if signal.run_id is None else f" to run {signal.run_id}"
            raise UsageError(
                f"Signal {signal.name!r}{receiver} is one too many: a step may send {limit}, and this one of run "
                f"{self.own} has. Does its loop end? Tell several things in one payload, send from several steps, or "
                "raise AUTOMATION_WORKFLOWS['SIGNALS_PER_STEP']."
            )
        self.signals.append(signal)

    def order(self, order: Order) -> None:
        """Keep an order. Raises UsageError for the step's own run, naming the StepResult to use."""
        if order.run_id == self.own:
            raise UsageError(f"A step cannot {order.verb} its own run: {_INSTEAD[order.verb]}.")
        self.orders.append(order)

    def in_id_order(self) -> Sequence[Order]:
        """Return the orders by run id: two steps acting on each other's runs lock them in the same order."""
        return sorted(self.orders, key=lambda order: order.run_id)
