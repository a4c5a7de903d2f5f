"""Looking into q2's table, and working through it in this process as a q2 worker would."""

import pydoc
from datetime import UTC, datetime
from typing import Any

from django_q.brokers import get_broker
from django_q.models import OrmQ
from django_q.signing import SignedPackage


def packages() -> list[dict[str, Any]]:
    """Return what is in the queue, in the order of insertion."""
    return [SignedPackage.loads(row.payload) for row in OrmQ.objects.order_by("pk")]


def calls() -> list[tuple[str, tuple[Any, ...]]]:
    """Return function and arguments of what is in the queue."""
    return [(package["func"].rpartition(".")[2], tuple(package["args"])) for package in packages()]


def fetchable() -> int:
    """Count what q2 would fetch now."""
    return get_broker().queue_size()


def drain(limit: int = 1000) -> int:
    """Run what q2 would fetch now, and acknowledge it; return how many tasks ran."""
    broker = get_broker()
    for ran in range(limit):
        rows = OrmQ.objects.filter(lock__lt=datetime.now(UTC))[:1]
        if not rows:
            return ran
        package = SignedPackage.loads(rows[0].payload)
        broker.acknowledge(rows[0].pk)
        pydoc.locate(package["func"])(*package["args"], **package["kwargs"])
    raise AssertionError(f"After {limit} tasks the queue still is not empty.")
