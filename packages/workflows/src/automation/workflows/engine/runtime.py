"""What every part of the engine works with: the adapters that are plugged in, the time, the numbers, the workflows."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from automation.workflows.authoring.registry import Registry
from automation.workflows.engine.inline import Trampoline
from automation.workflows.engine.keys import time_ordered_id
from automation.workflows.errors import NotConfigured
from automation.workflows.ports.mailbox import Mailbox
from automation.workflows.ports.policy import Policy
from automation.workflows.ports.storage import Storage
from automation.workflows.ports.wiring import Wiring

__all__ = ["STALE_TRIES", "Runtime"]

STALE_TRIES = 10
"""How often a verb looks again when somebody else moved the run in between. Each loss means that another one won."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """The engine's surroundings, read at each use, so that tests may plug in others at any time."""

    wiring: Wiring
    registry: Registry
    trampoline: Trampoline = field(default_factory=Trampoline)

    @property
    def storage(self) -> Storage:
        """Return the storage that is plugged in. Raises NotConfigured without one."""
        if self.wiring.storage is None:
            raise NotConfigured(
                "The engine has no storage. Add 'automation.workflows' to INSTALLED_APPS, "
                "or call engine.bind(storage=..., executor=...)."
            )
        return self.wiring.storage

    @property
    def mailbox(self) -> Mailbox:
        """Return the storage's mailbox."""
        return self.storage.mailbox

    @property
    def policy(self) -> Policy:
        """Return the numbers as they are now."""
        return self.wiring.policy()

    def now(self) -> datetime:
        """Return the time of the clock that is plugged in."""
        return self.wiring.clock.now()

    def new_id(self) -> UUID:
        """Make a key."""
        make = self.wiring.new_id
        return time_ordered_id(self.now()) if make is None else make()
