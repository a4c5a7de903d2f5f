"""Logging as a receiver of our own signals: one line per thing that happened, ids in `extra`."""

from __future__ import annotations

import logging
from typing import Any

from automation.events import signals

__all__ = ["connect"]

logger = logging.getLogger("automation.events")


def connect() -> None:
    """Log what the signals tell; safe to call twice."""
    signals.event_occurred.connect(_occurred, dispatch_uid="automation_events.log")
    signals.event_cancelled.connect(_cancelled, dispatch_uid="automation_events.log")
    signals.delivery_failed.connect(_failed, dispatch_uid="automation_events.log")


def _occurred(event: Any, **_: Any) -> None:
    logger.info("Event %s occurred.", event.event_name, extra={"event_id": str(event.pk)})


def _cancelled(event: Any, reason: str, **_: Any) -> None:
    logger.info("Event %s was cancelled: %s.", event.event_name, reason, extra={"event_id": str(event.pk)})


def _failed(delivery: Any, error: BaseException, final: bool, **_: Any) -> None:  # noqa: FBT001 - a signal's argument
    level = logging.ERROR if final else logging.WARNING
    logger.log(
        level,
        "Try %d of callback %s failed%s.",
        delivery.attempts,
        delivery.callback,
        ", and none is left" if final else "",
        exc_info=error,
        extra={"delivery_id": str(delivery.pk), "event_id": str(delivery.event_id)},
    )
