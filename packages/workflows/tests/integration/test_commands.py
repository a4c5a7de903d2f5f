"""The commands print what people ask for."""

import threading
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError

from automation.workflows.core import WorkflowStatus, engine
from automation.workflows.looping import run_loop
from automation.workflows.management.commands import process_workflows
from automation.workflows.models import WorkflowRun
from tests.integration.conftest import StillClock

CHECKOUT = """---
title: "checkout_due.CheckoutOps (version 1)"
---
stateDiagram-v2
    [*] --> await_docs: event checkout_due -7200 s
    await_docs --> notify_housekeeping: goto
    await_docs --> await_docs: event guest_docs_uploaded
    await_docs --> fallback_docs: timeout
    fallback_docs --> notify_housekeeping: goto
    notify_housekeeping --> finalize: goto
    finalize --> [*]: fail
    finalize --> [*]: complete
"""


def test_the_steps_of_a_workflow_are_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("workflow_graph", "checkout_due.CheckoutOps")

    assert capsys.readouterr().out == CHECKOUT


def test_all_workflows_are_drawn_when_none_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("workflow_graph")

    drawn = capsys.readouterr().out
    assert CHECKOUT in drawn
    assert "begin --> joined: child chain" in drawn
    assert "begin --> opened: signal ops window_open" in drawn


def test_an_unknown_workflow_is_told_with_those_that_exist() -> None:
    with pytest.raises(CommandError, match=r"No workflow is called 'chian'. Registered: .*chain"):
        call_command("workflow_graph", "chian")


def processed() -> str:
    out = StringIO()
    call_command("process_workflows", stdout=out)
    return out.getvalue()


@pytest.mark.django_db(transaction=True)
def test_a_run_that_sleeps_is_woken_without_a_queue(clock: StillClock) -> None:
    run = engine.start("sleeper")
    assert processed() == "0 runs moved\n"

    clock.advance(hours=1)

    assert processed() == "1 runs moved\n"
    assert WorkflowRun.objects.get(pk=run.id).status == WorkflowStatus.COMPLETED


@pytest.mark.django_db(transaction=True)
def test_the_loop_wakes_when_the_next_run_is_due(clock: StillClock) -> None:
    poll, stop = timedelta(seconds=5), threading.Event()
    engine.start("sleeper")
    assert process_workflows._sweep_and_tell_when(poll, stop) == poll

    clock.advance(minutes=59, seconds=57)
    assert process_workflows._sweep_and_tell_when(poll, stop) == timedelta(seconds=3)

    clock.advance(seconds=3)
    assert process_workflows._sweep_and_tell_when(poll, stop) == poll
    assert WorkflowRun.objects.completed().count() == 1


@pytest.mark.parametrize("error", [OperationalError, ValueError], ids=["database away", "adapter raises"])
def test_the_loop_goes_on_after_a_failure(error: type[Exception]) -> None:
    calls: list[float | None] = []

    class Impatient(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            calls.append(timeout)
            return self.is_set()

    def sweep() -> timedelta:
        if not calls:
            raise error
        stop.set()
        return timedelta(seconds=5)

    stop = Impatient()
    run_loop(sweep, stop=stop)

    assert 0 < (calls[0] or 0) <= 2
    assert calls[1:] == [5]
