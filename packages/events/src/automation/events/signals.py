"""Django signals for whoever wants to watch: metrics, tracing, another package.

All are sent with `send_robust`, after the transaction they tell of has committed, so a receiver that raises harms
nobody and is logged. They are for watching: what must not be missed belongs in a callback or a `Subscriber`.
"""

from django.dispatch import Signal

__all__ = ["delivery_failed", "delivery_succeeded", "event_cancelled", "event_occurred"]

event_occurred = Signal()
"""An event occurred: `event` (the row), `using`."""

event_cancelled = Signal()
"""An event was cancelled: `event` (the row), `reason`, `using`."""

delivery_succeeded = Signal()
"""A callback returned: `delivery` (the row), `using`."""

delivery_failed = Signal()
"""A try of a callback failed: `delivery` (the row), `error` (the exception), `final` (no try is left), `using`."""
