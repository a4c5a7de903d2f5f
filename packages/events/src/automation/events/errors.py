"""What can go wrong, one sentence each."""

__all__ = [
    "CallbackError",
    "ClaimLost",
    "DefinitionError",
    "EventsError",
    "PayloadError",
    "ProcessLost",
    "StaleEvent",
]


class EventsError(Exception):
    """The root of what this package raises."""


class DefinitionError(EventsError, ValueError):
    """An EventDefinition was written in a way that cannot work."""


class CallbackError(EventsError, ValueError):
    """A callback was registered, or left its database, in a way that cannot work."""


class PayloadError(EventsError, ValueError):
    """A value meant to be stored is not JSON; the message has the path."""


class ClaimLost(EventsError):
    """Another process has taken the delivery over, so this one's writes are rolled back."""


class ProcessLost(EventsError):
    """Every process that tried the delivery died or hung, and no try is left."""


class StaleEvent(EventsError):
    """The rows of an entity kept changing under a save; the save gives up instead of overwriting somebody."""
