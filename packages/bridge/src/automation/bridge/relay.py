"""Carries every change of an event to the engine, inside the transaction of the save that makes it."""

from collections.abc import Sequence
from datetime import timedelta

from automation.bridge.payload import translated
from automation.events.ports import Occurrence as Announced
from automation.workflows.core import engine, registry
from automation.workflows.ports import wiring

__all__ = ["Relay"]


class Relay:
    """The events' `Subscriber` that keeps runs in step with events. It calls no user code: it only writes rows.

    It is plugged into `automation.events.ports.wiring`, apart from users' callbacks: clearing those leaves it alone.
    """

    @property
    def name(self) -> str:
        """The name on deliveries that carry changes to another database."""
        return "workflows"

    @property
    def alias(self) -> str | None:
        """The database of the runs; None for a storage without one, which follows every event's own transaction."""
        return getattr(wiring.storage, "alias", None)

    @property
    def fingerprint(self) -> str:
        """The triggers that reserve runs ahead: a deploy that changes them has what lies ahead announced anew."""
        ahead = [each for each in registry if each.trigger is not None and each.trigger.offset < timedelta(0)]
        return "\n".join(sorted(f"{each.name} {each.version} {each.current} {each.trigger}" for each in ahead))

    def armed(self, occurrences: Sequence[Announced], *, using: str) -> None:
        """Reserve the runs that are to begin before these events."""
        engine.plan([translated(each) for each in occurrences])

    def derived(self, occurrences: Sequence[Announced], *, using: str) -> None:
        """Reserve what a deploy has added, and move what it reserves at another time."""
        self.armed(occurrences, using=using)
        if wiring.upkeep is not None:
            # The engine's own `move` hints at those that are near now.
            changed = set(wiring.upkeep.retrigger([str(each.event_id) for each in occurrences]))
            self.moved([each for each in occurrences if str(each.event_id) in changed], using=using)

    def withdraw(self, *, dry_run: bool) -> int:
        """Call off the reserved runs whose trigger a deploy has taken away, and let all others be as it has them."""
        if wiring.upkeep is None:
            return 0
        count = wiring.upkeep.withdraw_untriggered(dry_run=dry_run)
        if not dry_run:
            wiring.upkeep.retrigger(None)
        return count

    def moved(self, occurrences: Sequence[Announced], *, using: str) -> None:
        """Let the runs that have not begun follow the new dates, or look at their conditions again."""
        engine.move([translated(each) for each in occurrences])

    def ended(self, occurrences: Sequence[Announced], *, reason: str, using: str) -> None:
        """Call off the runs that have not begun."""
        engine.withdraw([translated(each) for each in occurrences], reason)

    def occurred(self, occurrences: Sequence[Announced], *, using: str) -> None:
        """Start what these events start, and signal `event:<name>` to those who wait for them."""
        engine.occurred([translated(each) for each in occurrences])
