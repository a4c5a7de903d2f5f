"""The life of an event as pure functions: values in, decisions out. Nothing here imports Django or reads a clock."""

from automation.events.lifecycle.reconcile import Change, News, Snapshot, State, Verb, judge, reconcile
from automation.events.lifecycle.retry import RetryPolicy
from automation.events.lifecycle.status import DeliveryStatus, EventStatus
from automation.events.lifecycle.transitions import TRANSITIONS, Cause, IllegalTransition, advance

__all__ = [
    "TRANSITIONS",
    "Cause",
    "Change",
    "DeliveryStatus",
    "EventStatus",
    "IllegalTransition",
    "News",
    "RetryPolicy",
    "Snapshot",
    "State",
    "Verb",
    "advance",
    "judge",
    "reconcile",
]
