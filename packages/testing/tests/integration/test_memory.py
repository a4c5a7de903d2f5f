"""Without a database: the engine on MemoryStorage, driven and looked at in the same way."""

from datetime import timedelta

import pytest
from pydantic import BaseModel

from automation.testing import Faults, Harness, UnsafeStepError
from automation.workflows.core import complete, engine, goto, sleep, step, wait, workflow
from automation.workflows.memory import MemoryStorage

posted: list[str] = []


@workflow("plain.errand")
class Errand:
    class Context(BaseModel):
        bought: str = ""

    @step(start=True)
    def ask(self):
        return wait("list", timeout=timedelta(hours=1), on_timeout=self.go_home, then=self.buy)

    @step()
    def buy(self):
        engine.signal("bought")
        return sleep(timedelta(minutes=20), then=self.go_home)

    @step()
    def go_home(self):
        return complete()


@workflow("plain.postman")
class Postman:
    class Context(BaseModel):
        pass

    @step(start=True)
    def sort(self):
        return goto(self.post)

    @step()
    def post(self):
        posted.append("letter")
        return complete()


@workflow("plain.listener")
class Listener:
    class Context(BaseModel):
        pass

    @step(start=True)
    def hear_one(self):
        return wait("first", then=self.hear_another)

    @step()
    def hear_another(self):
        return wait("second", then=self.end)

    @step()
    def end(self):
        return complete()


@workflow("plain.stubborn")
class Stubborn:
    class Context(BaseModel):
        pass

    @step(start=True)
    def listen(self):
        return wait("bell")


@pytest.fixture(params=[{}, {"inline": True}], ids=["queued", "inline"])
def automation(request):
    with Harness(storage=MemoryStorage(), **request.param) as automation:
        yield automation


def test_a_run_goes_through_its_pauses(automation):
    run = automation.start(Errand)
    automation.assert_waiting(run, for_signal="list")
    automation.signal("list", {"bought": "bread"})
    automation.advance(minutes=20)

    automation.assert_completed(run, bought="bread")
    assert [line.split("  ")[-1] for line in automation.timeline(run).splitlines()[-5:]] == [
        "created",
        "ask: wait list",
        "buy: sleep 0:20:00",
        "go_home: complete",
        "woken by signal 'list'",
    ]


class TestWhatBecameOfSignalsIsTold:
    """A timeline says the same as on a database."""

    def test_what_woke_a_run_is_told_with_what_was_left_out(self, automation):
        run = automation.start(Errand)
        automation.signal("list", {"bought": "bread", "paid": 1})

        assert "woken by signal 'list', left out: paid (the Context has no such field)" in automation.timeline(run)

    def test_signals_are_told_in_the_order_in_which_they_were_taken(self, automation):
        run = automation.start(Listener)
        for name in ("first", "second"):
            automation.signal(name)

        told = [line for line in automation.timeline(run).splitlines() if "woken by" in line]
        assert told == ["  woken by signal 'first'", "  woken by signal 'second'"]

    def test_a_step_that_waits_again_for_what_has_just_woken_it_is_told_what_to_write(self, automation):
        run = automation.start(Stubborn)
        automation.signal("bell")

        with pytest.raises(AssertionError) as caught:
            automation.assert_completed(run)

        assert "woken by signal 'bell'\n  and waits for 'bell' again" in str(caught.value)
        assert "wait('bell', then=self.next_step)" in str(caught.value)

    def test_signals_that_nobody_took_are_told_to_who_waits(self, automation):
        automation.signal("long before")
        automation.advance(minutes=1)
        run = automation.start(Errand)
        automation.signal("lists", {"bought": "bread"}, key="k")
        automation.signal("list", {"bought": "bread"}, run_id=automation.start(Stubborn).id)

        story = automation.timeline(run)

        assert "nobody took signal 'lists' with key 'k', sent at 2030-01-07 09:01:00" in story
        assert "nobody took signal 'list' to run " in story
        assert "long before" not in story

        automation.signal("list")
        assert "nobody took" not in automation.timeline(run)


def test_the_timeout_is_reached_by_moving_the_clock(automation):
    run = automation.start(Errand)

    automation.advance(hours=1)

    automation.assert_completed(run, bought="")


def test_sleeps_are_skipped(automation):
    with automation.skip_sleeps():
        automation.start(Errand)
        automation.signal("list")

    automation.assert_completed(Errand)


def test_a_recording_tells_what_is_started_and_sent(automation):
    with automation.recording() as caused:
        run = automation.start(Errand)
        automation.signal("list")

    assert (caused.workflows, caused.signals) == (["plain.errand"], ["list"])
    assert automation.run(run).status == "ready"


def test_a_bad_queue_changes_nothing():
    faults = Faults(seed=4, duplicate=0.5, drop=0.5, delay=0.5, reorder=True)
    with Harness(storage=MemoryStorage(), faults=faults) as automation:
        run = automation.start(Errand)
        automation.advance(hours=3)

        automation.assert_completed(run)


def test_every_death_is_survived(automation):
    def story():
        run = automation.start(Errand)
        automation.signal("list", {"bought": "bread"})
        automation.advance(minutes=20)
        automation.assert_completed(run, bought="bread")

    assert automation.at_every_crash_point(story) >= 15
    assert automation.runs() == []


def test_the_step_that_is_not_safe_to_repeat_is_named(automation):
    def story():
        posted.clear()
        automation.start(Postman)
        return list(posted)

    with pytest.raises(UnsafeStepError, match=r"^Step 'post' of 'plain.postman' is not safe to repeat"):
        automation.at_every_crash_point(story)


def test_a_storage_that_cannot_list_its_runs_says_what_to_give(automation):
    class Silent:
        def __getattr__(self, name):
            if name in {"runs", "alias"}:
                raise AttributeError(name)
            return getattr(MemoryStorage(), name)

    with Harness(storage=Silent()) as other, pytest.raises(RuntimeError, match="cannot list its runs"):
        other.runs()
