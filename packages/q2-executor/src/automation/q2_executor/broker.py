"""Which broker django-q2 is set up with, and what that broker can do. Everything that looks at q2's `Conf` is here."""

from enum import StrEnum
from functools import lru_cache
from os import getpid
from typing import Any

from django.conf import settings
from django_q.conf import Conf

from automation.q2_executor.conf import conf

__all__ = ["Broker", "broker_for", "default_queue", "kind", "main_queue", "orm_alias", "sweep_queue"]


class Broker(StrEnum):
    """The kinds of broker that make a difference to us."""

    ORM = "orm"
    """A table of the database: messages can join a transaction, and a row's `lock` in the future is a timer."""
    REDIS = "redis"
    """A list in Redis: fast, no receipts. Timers are kept in a sorted set beside it."""
    OTHER = "other"
    """SQS, IronMQ, MongoDB or a class of the project's own: messages only, no timers."""
    SYNC = "sync"
    """`Q_CLUSTER["sync"]`: no queue at all, tasks run in the caller's process."""


def kind() -> Broker:
    """Return the kind of the broker that q2 uses here, in the order in which q2 itself decides."""
    if Conf.SYNC:
        return Broker.SYNC
    if Conf.BROKER_CLASS or Conf.IRON_MQ or isinstance(Conf.SQS, dict):
        return Broker.OTHER
    if Conf.ORM:
        return Broker.ORM
    return Broker.OTHER if Conf.MONGO else Broker.REDIS


def orm_alias() -> str | None:
    """Return the database of the ORM broker; None for other brokers."""
    return Conf.ORM if kind() is Broker.ORM else None


def main_queue() -> str:
    """Return the queue for runs, deliveries and timers.

    Not `Conf.CLUSTER_NAME`: in a worker of another queue (`Q_CLUSTER_NAME=…`) that is the other queue's name.
    """
    return conf().queue or getattr(settings, "Q_CLUSTER", {}).get("cluster_name") or default_queue()


def default_queue() -> str:
    """Return the queue of the cluster that also takes the schedules that name no cluster."""
    prefix: str = Conf.PREFIX
    return prefix


def sweep_queue() -> str:
    """Return the queue for the sweeps."""
    return conf().sweep_queue or main_queue()


def broker_for(queue: str) -> Any:
    """Return q2's broker for a queue, one for each process: a new one means a new connection."""
    return _broker(queue, getpid())


@lru_cache(maxsize=16)
def _broker(queue: str, _process: int) -> Any:
    from django_q.brokers import get_broker

    return get_broker(queue)
