"""System checks: settings of django-q2 that would hurt, each with the reason and the remedy."""

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core import mail
from django.core.checks import CheckMessage, Error, Warning, register  # noqa: A004 (Django's own name)
from django.core.exceptions import ImproperlyConfigured

from automation.q2_executor.broker import main_queue, sweep_queue
from automation.q2_executor.conf import mistakes

__all__ = ["check_queue", "check_settings", "warnings_about"]

Settings = Mapping[str, Any]


@register("automation")
def check_settings(**_: Any) -> list[CheckMessage]:
    """Report unknown or unusable keys of AUTOMATION_Q2."""
    return [Error(mistake, id="automation_q2_executor.E001") for mistake in mistakes()]


@register("automation")
def check_queue(**_: Any) -> list[CheckMessage]:
    """Report settings in Q_CLUSTER under which work is doubled, lost, late or never given up."""
    return list(warnings_about(getattr(settings, "Q_CLUSTER", None)))


def warnings_about(cluster: Settings | None) -> Iterator[CheckMessage]:
    """Look at a Q_CLUSTER and yield what is wrong with it."""
    if cluster is None:
        yield Warning(
            "Q_CLUSTER is not set, so q2 looks for Redis on this machine.",
            hint="Set Q_CLUSTER = {'name': ..., 'orm': 'default', 'timeout': 50, 'retry': 60, ...}.",
            id="automation_q2_executor.W001",
        )
        return
    warned = list(_looked_at(cluster))
    yield from warned
    # What a cluster of another name overrides counts where it works on our queues.
    others, own = cluster.get("ALT_CLUSTERS") or {}, {cluster.get("name"), cluster.get("cluster_name")}
    for name in sorted({main_queue(), sweep_queue()} & others.keys() - own):
        yield from (each for each in _looked_at({**cluster, **others[name]}) if each not in warned)


def _looked_at(cluster: Settings) -> Iterator[CheckMessage]:
    for look in _LOOKS:
        yield from look(cluster)


def _number(cluster: Settings, key: str, default: float | None = None) -> float | None:
    """Return a setting that must be a number; what is none is no number of q2's either, and it will say so."""
    value = cluster.get(key, default)
    return value if isinstance(value, int | float) else None


def _timeout(cluster: Settings) -> Iterator[CheckMessage]:
    if not _number(cluster, "timeout"):
        yield Warning(
            "Q_CLUSTER['timeout'] is not set: a step that hangs keeps its worker for ever.",
            hint="Set it shorter than the claim of a run, for example 50.",
            id="automation_q2_executor.W002",
        )


def _retry(cluster: Settings) -> Iterator[CheckMessage]:
    retry, timeout = _number(cluster, "retry", 60), _number(cluster, "timeout")
    if retry is None:
        yield Warning(
            f"Q_CLUSTER['retry'] is {cluster['retry']!r}: q2 counts with it, and cannot fetch a task.",
            hint="Set 'retry' longer than 'timeout', for example 60 and 50.",
            id="automation_q2_executor.W003",
        )
    elif timeout and retry <= timeout:
        yield Warning(
            f"Q_CLUSTER['retry'] is {retry} and 'timeout' is {timeout}: q2 gives a task to a second worker while the "
            "first is still at it. No step commits twice, but the work is done twice.",
            hint="Set 'retry' longer than 'timeout', for example 60 and 50.",
            id="automation_q2_executor.W003",
        )


def _catch_up(cluster: Settings) -> Iterator[CheckMessage]:
    if cluster.get("catch_up", True):
        yield Warning(
            "Q_CLUSTER['catch_up'] is not False: after an outage q2 runs each sweep once for every time it was missed.",
            hint="Set 'catch_up': False. One sweep makes up for all that were missed.",
            id="automation_q2_executor.W004",
        )


def _max_attempts(cluster: Settings) -> Iterator[CheckMessage]:
    if not cluster.get("max_attempts"):
        yield Warning(
            "Q_CLUSTER['max_attempts'] is not set: tasks of other apps that raise are repeated for ever, before ours.",
            hint="Set 'max_attempts', for example 3.",
            id="automation_q2_executor.W005",
        )


def _alias(cluster: Settings) -> Iterator[CheckMessage]:
    home = _storage_alias()
    broker = cluster.get("orm")
    if broker and broker != home:
        yield Warning(
            f"q2's table is on database {broker!r}, runs are on {home!r}: messages cannot be part of the transaction, "
            "and q2's own async_task closes connections inside your transactions.",
            hint=f"Set Q_CLUSTER['orm'] = {home!r}, or use another broker.",
            id="automation_q2_executor.W006",
        )


def _sync(cluster: Settings) -> Iterator[CheckMessage]:
    if cluster.get("sync") and not _is_testing():
        yield Warning(
            "Q_CLUSTER['sync'] is set: runs are worked on in the process that saves, and nothing happens on time.",
            hint="Remove it outside tests, and run `manage.py qcluster`.",
            id="automation_q2_executor.W007",
        )


def _claim(cluster: Settings) -> Iterator[CheckMessage]:
    timeout, claim = _number(cluster, "timeout"), _usual_claim()
    if timeout and claim and timedelta(seconds=timeout) >= claim:
        yield Warning(
            f"Q_CLUSTER['timeout'] is {timeout} s, and a run is claimed for {claim.total_seconds():.0f} s: a step that "
            "hangs loses its claim before q2 ends it, and a second worker begins beside the first.",
            hint="Set Q_CLUSTER['timeout'] shorter, or AUTOMATION_WORKFLOWS['STEP_TIMEOUT'] longer.",
            id="automation_q2_executor.W008",
        )


def _long_steps(cluster: Settings) -> Iterator[CheckMessage]:
    timeout = _number(cluster, "timeout")
    long = {step: limit for step, limit in _step_timeouts().items() if timeout and limit.total_seconds() >= timeout}
    if timeout and long:
        step = max(long, key=lambda name: long[name])
        yield Warning(
            f"Step {step!r} may take {long[step].total_seconds():.0f} s, and Q_CLUSTER['timeout'] is {timeout:.0f}: q2 "
            f"ends it before that, as a failed attempt. {len(long)} steps allow themselves more than q2 does.",
            hint="Set Q_CLUSTER['timeout'] longer than the longest step and 10 s, and 'retry' longer than that; or let "
            "the step do its work in several.",
            id="automation_q2_executor.W011",
        )


def _bulk(cluster: Settings) -> Iterator[CheckMessage]:
    if (_number(cluster, "bulk", 1) or 1) > 1 and (_number(cluster, "save_limit", 250) or 0) >= 0:
        yield Warning(
            f"Q_CLUSTER['bulk'] is {cluster['bulk']} and q2 saves results: workers then run ahead of the one process "
            "that saves, and a worker that is recycled is not replaced before all its results are written (seconds).",
            hint="Set 'bulk': 1, or 'save_limit': -1.",
            id="automation_q2_executor.W009",
        )


def _connections(cluster: Settings) -> Iterator[CheckMessage]:
    alias = cluster.get("orm")
    database = settings.DATABASES.get(alias, {}) if alias else {}
    is_elsewhere = "sqlite" not in database.get("ENGINE", "sqlite")
    if is_elsewhere and database.get("CONN_MAX_AGE", 0) == 0 and not database.get("OPTIONS", {}).get("pool"):
        yield Warning(
            f"DATABASES[{alias!r}]['CONN_MAX_AGE'] is 0: q2 opens a new connection for each look into its table, five "
            "times a second, and two for each task. Measured: timers 14 s late at 0, and 0.2 s late at 600.",
            hint="Set 'CONN_MAX_AGE': 600 (or a connection pool) for the cluster's processes.",
            id="automation_q2_executor.W010",
        )


_LOOKS: tuple[Callable[[Settings], Iterator[CheckMessage]], ...] = (
    _timeout,
    _retry,
    _catch_up,
    _max_attempts,
    _alias,
    _sync,
    _claim,
    _long_steps,
    _bulk,
    _connections,
)


def _storage_alias() -> str:
    """Return the database of the runs; settings are read by name, because workflows may not be installed."""
    written = getattr(settings, "AUTOMATION_WORKFLOWS", {})
    alias = written.get("DATABASE") if isinstance(written, Mapping) else None
    return alias if isinstance(alias, str) else "default"  # what is wrong there, workflows' own check tells


def _usual_claim() -> timedelta | None:
    """Return how long a run is claimed when its step names no timeout; None without workflows."""
    if not apps.is_installed("automation.workflows"):
        return None
    from automation.workflows.ports import wiring

    try:
        policy = wiring.policy()
    except (ImportError, ImproperlyConfigured):
        return None  # a REDACT that is not there: workflows' own check tells of it
    return policy.step_timeout + policy.claim_margin


def _step_timeouts() -> Mapping[str, timedelta]:
    """Return the timeouts that steps name themselves, by workflow and step; none without workflows."""
    if not apps.is_installed("automation.workflows"):
        return {}
    from automation.workflows.ports import wiring

    return wiring.step_timeouts()


def _is_testing() -> bool:
    # What Django's setup_test_environment leaves behind; pytest-django calls it too.
    return hasattr(mail, "outbox")
