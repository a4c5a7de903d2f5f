"""Started by a test: begins a project once with each order of the apps, and says how each of them went.

A process has one Django, so each order has a process of its own, forked before any app is imported.
"""

import os
import sys
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import django
import pydantic  # noqa: F401 (imported once, here, and not again after each fork)
from django.conf import settings
from django.core.management import call_command
from django.db.backends.base.base import BaseDatabaseWrapper

OURS = ("automation.events", "automation.workflows", "automation.bridge", "automation.q2_executor")
APPS = (*OURS, "tests.pitfalls.inn", "django_q")


def orders() -> Iterator[tuple[str, ...]]:
    """Give orders in which each app is once the first, and of each two, each is before the other."""
    for first in range(len(APPS)):
        yield (*APPS[first:], *APPS[:first])
    yield APPS[::-1]


def begin(order: tuple[str, ...]) -> None:
    """Start the project, with no query before it has started; save, and see what was promised of a save."""
    settings.configure(
        SECRET_KEY="only-for-tests",
        USE_TZ=True,
        INSTALLED_APPS=["django.contrib.contenttypes", *order],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        Q_CLUSTER={"name": "orders", "orm": "default", "timeout": 50, "retry": 60, "max_attempts": 3},
    )
    connect = BaseDatabaseWrapper.connect
    BaseDatabaseWrapper.connect = _too_early  # type: ignore[method-assign]
    django.setup()
    BaseDatabaseWrapper.connect = connect  # type: ignore[method-assign]
    call_command("migrate", run_syncdb=True, verbosity=0)
    _save_and_look()


def _too_early(self: BaseDatabaseWrapper) -> None:
    raise AssertionError("A query in ready(), or at import: the database may not be there yet.")


def _save_and_look() -> None:
    from django_q.models import OrmQ

    from automation.events.models import Event
    from automation.workflows.models import WorkflowRun
    from tests.pitfalls.inn.models import Booking, Note

    near = datetime.now(UTC) + timedelta(minutes=2)
    booking = Booking.objects.create(arrives_at=near, status="confirmed")

    assert Event.objects.for_entity(booking).count() == 3
    assert Note.objects.filter(text=f"welcome {booking.pk}").count() == 1, "The callback was not called."
    assert WorkflowRun.objects.filter(status="waiting").exists(), "No run was reserved."
    assert OrmQ.objects.exists(), "No timer was set."


def main() -> int:
    """Fork for each order; return how many went wrong."""
    wrong = 0
    for order in orders():
        child = os.fork()
        if not child:
            code = 1
            try:
                begin(order)
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        wrong += status != 0
        print("ok" if status == 0 else "WRONG", *order, flush=True)
    return wrong


if __name__ == "__main__":
    sys.exit(min(main(), 1))
