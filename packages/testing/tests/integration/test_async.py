"""Async tests: everything can be awaited, on the test's own connection; what would block says what to write."""

import asyncio
from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.test import SimpleTestCase, TestCase, TransactionTestCase
from django.utils import timezone
from pydantic import BaseModel

from automation.testing import AutomationTestMixin, FakeClock, Harness, UnsafeStepError
from automation.workflows.core import complete, sleep, step, workflow
from automation.workflows.memory import MemoryStorage
from tests.shop import automations
from tests.shop.automations import Careless, Chase, Prepare, note_payment
from tests.shop.models import Entry, Order


@workflow("async.errand")
class Errand:
    class Context(BaseModel):
        pass

    @step(start=True)
    async def doze(self):
        await asyncio.sleep(0)
        return sleep(timedelta(hours=1), then=self.end)

    @step()
    async def end(self):
        return complete()


class Story(AutomationTestMixin):
    async def test_verbs_and_assertions_are_awaited(self):
        automation = self.automation.aio
        order = await automation.save(Order(pickup_at=timezone.now() + timedelta(hours=3)), status="paid")
        run = await automation.start(Chase)
        await automation.assert_called(note_payment, about=order)
        await automation.signal("paid", {"paid": True})
        await automation.advance(hours=2)

        await automation.assert_completed(Prepare, order_id=order.pk)
        await automation.run_to_end(run)
        await automation.delete(order)
        assert automation.clock is self.automation.clock

    async def test_async_steps_run(self):
        run = await self.automation.aio.start(Errand)
        await self.automation.aio.advance(hours=1)

        await self.automation.aio.assert_completed(run)

    async def test_a_claim_that_does_not_hold_is_told_as_ever(self):
        run = await self.automation.aio.start(Chase)

        with pytest.raises(AssertionError, match=r"(?s)Expected it to be COMPLETED.*waits for the signal 'paid'"):
            await self.automation.aio.assert_completed(run)

    async def test_blocks_are_entered(self):
        async with self.automation.aio.recording() as caused:
            await self.automation.aio.save(Order(), status="paid")

        assert caused.occurred == ["order_paid"]
        assert not await Entry.objects.aexists()

    async def test_a_block_is_left_as_it_should_be_when_it_raises(self):
        with pytest.raises(ZeroDivisionError):
            async with self.automation.aio.stub_step(Chase, "await_payment", returns=complete()):
                raise ZeroDivisionError

        await self.automation.aio.assert_waiting(await self.automation.aio.start(Chase), at="await_payment")

    async def test_crash_points(self):
        def story():
            automations.outside.clear()
            self.automation.start(Careless, number=1)
            return list(automations.outside)

        with pytest.raises(UnsafeStepError, match="'post_letter'"):
            await self.automation.aio.at_every_crash_point(story)

    async def test_what_would_block_says_what_to_write(self):
        order = await self.automation.aio.save(Order())
        for verb, *arguments in (
            (self.automation.start, Chase),
            (self.automation.save, order),
            (self.automation.delete, order),
            (self.automation.signal, "paid"),
            (self.automation.advance,),
            (self.automation.run_until_idle,),
            (self.automation.assert_no_run,),
            (self.automation.assert_pending, order, "order_paid"),
            (self.automation.assert_not_called, note_payment),
        ):
            with pytest.raises(RuntimeError, match=r"write await automation\.aio\.start\(\.\.\.\)"):
                verb(*arguments)


class TestWhereNothingIsCommitted(Story, TestCase):
    pass


class TestWithRealCommits(Story, TransactionTestCase):
    pass


class TestInline(Story, TestCase):
    automation_options = {"inline": True}


@pytest.mark.django_db
def test_a_function_of_pytest_may_be_a_coroutine_by_way_of_asgiref(automation):
    @async_to_sync
    async def story():
        run = await automation.aio.start(Chase)
        await automation.aio.run_to_end(run)
        await automation.aio.assert_completed(run)

    story()


class TestAClockWithoutAHarness(TestCase):
    async def test_what_is_due_happens_when_its_move_is_awaited(self):
        with FakeClock("2030-06-01T12:00+00:00") as clock:
            order = await Order.objects.acreate(pickup_at=timezone.now() + timedelta(hours=3))
            with pytest.raises(RuntimeError, match=r"sync_to_async\(clock\.advance\)\(\.\.\.\), or clock\.jump"):
                clock.advance(hours=2)

            await sync_to_async(clock.advance)(hours=2)

            assert await Entry.objects.filter(text=f"packed {order.pk}").aexists()


class TestWithoutADatabase(SimpleTestCase):
    async def test_the_clock_moves(self):
        with FakeClock("2030-06-01T12:00+00:00") as clock:
            clock.jump(hours=1)

            assert timezone.now() == clock.now()


def test_a_coroutine_without_a_database_may_move_the_clock(automation):
    async def story():
        automation.advance(hours=1)

    asyncio.run(story())


def test_without_django_too():
    async def story():
        with Harness(storage=MemoryStorage()) as automation:
            with pytest.raises(RuntimeError, match=r"await automation\.aio\.start"):
                automation.start(Errand)
            run = await automation.aio.start(Errand)
            await automation.aio.advance(hours=1)
            await automation.aio.assert_completed(run)

    asyncio.run(story())
