"""The commands print what people ask for."""

import pytest
from django.core.management import CommandError, call_command

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
