import time
import unittest
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from automation.testing import FakeClock
from automation.testing.clock import DEFAULT_START

NOON = datetime(2030, 1, 7, 12, tzinfo=UTC)


class Recorder:
    """An itinerary with fixed stops, that notes what the clock showed at each."""

    def __init__(self, clock: FakeClock, *stops: datetime):
        self.clock, self.stops, self.seen = clock, stops, []

    def arrive(self):
        self.seen.append(self.clock.now())
        return min((stop for stop in self.stops if stop > self.clock.now()), default=None)


class TestReading:
    def test_starts_on_a_fixed_monday_morning_so_that_every_run_is_alike(self):
        assert FakeClock().now() == DEFAULT_START
        assert DEFAULT_START.strftime("%A %H:%M") == "Monday 09:00"

    def test_now_is_aware_and_in_utc(self):
        assert FakeClock("2030-06-01 12:00", zone="Europe/Berlin").now().tzinfo is UTC

    def test_a_text_without_offset_is_wall_time_in_the_zone(self):
        assert FakeClock("2030-06-01 12:00", zone="Europe/Berlin").now() == datetime(2030, 6, 1, 10, tzinfo=UTC)

    def test_the_zone_is_that_of_django_unless_given(self, settings):
        assert settings.TIME_ZONE == "Europe/Berlin"
        assert FakeClock("2030-06-01 12:00").now() == datetime(2030, 6, 1, 10, tzinfo=UTC)

    def test_local_shows_the_wall_clock_of_a_zone(self):
        clock = FakeClock(NOON)

        assert clock.local("Asia/Tokyo").strftime("%H:%M") == "21:00"
        assert clock.local(ZoneInfo("America/New_York")).strftime("%H:%M") == "07:00"


class TestDaylightSaving:
    def test_a_wall_time_that_clocks_jump_over_is_refused(self):
        clock = FakeClock(zone="Europe/Berlin")

        with pytest.raises(ValueError, match=r"'2030-03-31 02:30:00' does not exist in Europe/Berlin"):
            clock.instant("2030-03-31 02:30")

    def test_a_wall_time_that_exists_twice_is_refused_with_both_ways_to_say_it(self):
        clock = FakeClock(zone="Europe/Berlin")

        with pytest.raises(ValueError, match=r"'2030-10-27 02:30:00\+02:00' or '2030-10-27 02:30:00\+01:00'"):
            clock.instant("2030-10-27 02:30")

    def test_an_offset_says_which_of_the_two_is_meant(self):
        clock = FakeClock(zone="Europe/Berlin")

        assert clock.instant("2030-10-27 02:30+02:00") + timedelta(hours=1) == clock.instant("2030-10-27 02:30+01:00")

    def test_next_change_is_the_moment_at_which_clocks_are_moved(self):
        clock = FakeClock("2030-01-01", zone="Europe/Berlin")

        assert clock.next_change() == datetime(2030, 3, 31, 1, tzinfo=UTC)

    def test_next_change_of_a_zone_without_any_says_so(self):
        with pytest.raises(ValueError, match="Wall clocks in UTC are not changed"):
            FakeClock().next_change("UTC")

    def test_a_day_on_the_wall_may_be_23_hours_and_advance_days_is_24(self):
        clock = FakeClock("2030-03-30 09:00", zone="Europe/Berlin")
        before = clock.now()

        clock.advance_to_next("09:00")

        assert clock.now() - before == timedelta(hours=23)
        clock.advance(days=1)
        assert clock.local().strftime("%H:%M") == "09:00"

    def test_advance_to_next_passes_over_a_day_on_which_the_time_does_not_exist(self):
        clock = FakeClock("2030-03-30 12:00", zone="Europe/Berlin")

        clock.advance_to_next("02:30")

        assert clock.local().isoformat() == "2030-04-01T02:30:00+02:00"

    def test_advance_to_next_is_today_when_the_time_is_still_ahead(self):
        clock = FakeClock("2030-03-20 08:00", zone="Europe/Berlin")

        clock.advance_to_next("08:01")

        assert clock.local().isoformat() == "2030-03-20T08:01:00+01:00"


class TestMoving:
    def test_advance_adds_up_its_units(self):
        clock = FakeClock(NOON)

        clock.advance(timedelta(seconds=1), weeks=1, days=1, hours=1, minutes=1, seconds=1)

        assert clock.now() == NOON + timedelta(days=8, hours=1, minutes=1, seconds=2)

    def test_it_does_not_go_back(self):
        clock = FakeClock(NOON)

        with pytest.raises(ValueError, match="it cannot go back to 2030-01-07T11:59:00"):
            clock.advance(minutes=-1)
        assert clock.now() == NOON

    def test_it_stops_at_every_due_moment_in_order(self):
        clock = FakeClock(NOON)
        late, soon, beyond = NOON + timedelta(hours=2), NOON + timedelta(minutes=1), NOON + timedelta(days=9)
        recorder = Recorder(clock, late, soon, beyond)
        clock.attach(recorder)

        clock.advance(days=1)

        assert recorder.seen == [NOON, soon, late]
        assert clock.now() == NOON + timedelta(days=1)

    def test_a_moment_exactly_at_the_target_is_on_the_way(self):
        clock = FakeClock(NOON)
        recorder = Recorder(clock, NOON + timedelta(hours=1))
        clock.attach(recorder)

        clock.advance(hours=1)

        assert recorder.seen[-1] == NOON + timedelta(hours=1)

    def test_a_stop_that_appears_on_the_way_is_made_as_well(self):
        clock = FakeClock(NOON)
        recorder = Recorder(clock, NOON + timedelta(hours=1))

        class Chain(Recorder):
            def arrive(self):
                recorder.stops = (NOON + timedelta(hours=1), NOON + timedelta(hours=2))
                return super().arrive()

        clock.attach(Chain(clock, NOON + timedelta(hours=1)))
        clock.attach(recorder)

        clock.advance(hours=3)

        assert NOON + timedelta(hours=2) in recorder.seen

    def test_something_that_is_always_due_again_ends_with_an_error(self):
        clock = FakeClock(NOON)

        class Restless(Recorder):
            def arrive(self):
                return self.clock.now() + timedelta(seconds=1)

        clock.attach(Restless(clock))

        with pytest.raises(RuntimeError, match="something was due at 20000 moments"):
            clock.advance(days=1)

    def test_a_detached_itinerary_is_not_stopped_for(self):
        clock = FakeClock(NOON)
        recorder = Recorder(clock, NOON + timedelta(hours=1))
        clock.attach(recorder)
        clock.detach(recorder)

        clock.advance(hours=2)

        assert recorder.seen == []


class TestBeingBelieved:
    def test_django_datetime_and_time_all_show_it(self):
        with FakeClock("2040-02-29T12:00:00.123456+00:00") as clock:
            for _ in range(2):
                assert timezone.now() == clock.now()
                assert datetime.now(UTC) == clock.now()
                assert abs(time.time() - clock.now().timestamp()) < 0.000_001
                clock.advance(hours=1, seconds=0.000_001)

    def test_it_stands_still(self):
        with FakeClock():
            assert datetime.now(UTC) == datetime.now(UTC) == DEFAULT_START

    def test_the_process_keeps_its_time_zone(self):
        before = time.tzname

        with FakeClock():
            assert time.tzname == before

    def test_monotonic_time_goes_on_so_that_timeouts_of_libraries_work(self):
        with FakeClock() as clock:
            began = time.monotonic()
            clock.advance(days=1)
            assert 0 <= time.monotonic() - began < 60

    def test_real_time_is_back_afterwards_even_after_an_error(self):
        with pytest.raises(RuntimeError), FakeClock("2040-01-01"):
            raise RuntimeError

        assert datetime.now(UTC).year < 2040

    def test_events_and_workflows_read_it_while_it_is_active(self):
        from automation.events.ports import wiring as events
        from automation.workflows.ports import wiring as workflows

        before = events.clock, workflows.clock
        with FakeClock() as clock:
            assert events.clock is clock
            assert workflows.clock is clock
        assert (events.clock, workflows.clock) == before

    def test_it_may_be_entered_within_itself(self):
        with FakeClock() as clock:
            with clock:
                clock.advance(hours=1)
            assert datetime.now(UTC) == clock.now()

        assert datetime.now(UTC) != clock.now()

    def test_entered_again_it_shows_the_time_it_had_reached(self):
        clock = FakeClock(NOON)
        with clock:
            clock.advance(hours=1)

        with clock:
            assert datetime.now(UTC) == NOON + timedelta(hours=1)


class TestDecorating:
    def test_a_function_runs_at_its_first_moment_each_time(self):
        clock = FakeClock(NOON)
        seen = []

        @clock
        def story():
            seen.append(datetime.now(UTC))
            clock.advance(hours=1)

        story()
        story()

        assert seen == [NOON, NOON]

    def test_a_coroutine_function_too(self):
        from asgiref.sync import async_to_sync

        @FakeClock(NOON)
        async def story():
            return datetime.now(UTC)

        assert async_to_sync(story)() == NOON

    def test_each_test_of_a_unittest_class(self):
        seen = []
        clock = FakeClock(NOON)

        @clock
        class Story(unittest.TestCase):
            def setUp(self):
                seen.append(datetime.now(UTC))

            def test_one(self):
                clock.advance(hours=1)

            def test_two(self):
                seen.append(datetime.now(UTC))

        for name in ("test_one", "test_two"):
            result = unittest.TestResult()
            Story(name).run(result)
            assert result.wasSuccessful(), result.errors

        assert seen == [NOON, NOON, NOON]
        assert datetime.now(UTC).year < 2030

    def test_another_kind_of_class_is_refused(self):
        with pytest.raises(TypeError, match="decorates functions and TestCase classes"):
            FakeClock()(int)
