"""Stand-ins for what plugs into the ports."""

from contextlib import contextmanager
from datetime import timedelta

from automation.events.ports import wiring


class RecordingDispatcher:
    """Remembers what it was asked for."""

    def __init__(self, horizon=timedelta(minutes=5)):
        self.horizon = horizon
        self.delivered = []
        self.hints = []

    def deliver(self, delivery_ids, *, using):
        self.delivered.append((list(delivery_ids), using))

    def hint(self, at, *, using):
        self.hints.append(at)


class RecordingSubscriber:
    """Remembers what it was told."""

    def __init__(self, name="recording", alias=None):
        self.name = name
        self.alias = alias
        self.heard = []

    def armed(self, occurrences, *, using):
        self.heard.append(("armed", list(occurrences)))

    def moved(self, occurrences, *, using):
        self.heard.append(("moved", list(occurrences)))

    def ended(self, occurrences, *, reason, using):
        self.heard.append((f"ended {reason}", list(occurrences)))

    def occurred(self, occurrences, *, using):
        self.heard.append(("occurred", list(occurrences)))

    def kinds(self):
        return [kind for kind, _ in self.heard]


@contextmanager
def subscribed(subscriber):
    wiring.subscribe(subscriber)
    try:
        yield subscriber
    finally:
        del wiring._subscribers[subscriber.name]
