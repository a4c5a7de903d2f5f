import contextlib
import logging
from typing import ClassVar

import pytest
from django.db import transaction
from django.test import SimpleTestCase, TestCase

from automation.testing.commits import run_commit_hooks
from automation.testing.installed import database_is_open
from automation.testing.replays import undone


def note(seen, text):
    return lambda: seen.append(text)


class TestWhereNothingIsCommitted(TestCase):
    def test_hooks_run_in_order_and_once(self):
        seen = []
        for text in "abc":
            transaction.on_commit(note(seen, text))

        assert run_commit_hooks() == 3
        assert run_commit_hooks() == 0
        assert seen == ["a", "b", "c"]

    def test_a_hook_put_off_by_a_hook_runs_too(self):
        seen = []
        transaction.on_commit(lambda: transaction.on_commit(note(seen, "second")))

        assert run_commit_hooks() == 2
        assert seen == ["second"]

    def test_a_hook_of_a_block_that_was_rolled_back_does_not_run(self):
        seen = []
        with contextlib.suppress(RuntimeError), transaction.atomic():
            transaction.on_commit(note(seen, "never"))
            raise RuntimeError

        assert run_commit_hooks() == 0
        assert seen == []

    def test_inside_an_open_block_it_says_that_nothing_is_committed(self):
        with transaction.atomic():
            transaction.on_commit(note([], "x"))
            with pytest.raises(RuntimeError, match=r"inside transaction\.atomic\(\), so nothing is committed"):
                run_commit_hooks()

    def test_a_robust_hook_that_raises_is_logged_and_the_others_run(self):
        seen = []
        transaction.on_commit(lambda: 1 / 0, robust=True)
        transaction.on_commit(note(seen, "after"))

        with self.assertLogs("automation.testing", logging.ERROR) as logs:
            run_commit_hooks()

        assert seen == ["after"]
        assert "ZeroDivisionError" in logs.output[0]

    def test_one_that_is_not_robust_reaches_the_test(self):
        transaction.on_commit(lambda: 1 / 0)

        with pytest.raises(ZeroDivisionError):
            run_commit_hooks()


class TestWhatTheClassHasPutOff(TestCase):
    """Whichever of the two tests is the first."""

    ran: ClassVar[list[str]] = []

    @classmethod
    def setUpTestData(cls):
        transaction.on_commit(note(cls.ran, "of the class"))

    def setUp(self):
        self.ran.clear()
        transaction.on_commit(note(self.ran, "of the test"))

    def test_runs_once(self):
        assert run_commit_hooks() == 2
        assert run_commit_hooks() == 0
        assert self.ran == ["of the class", "of the test"]

    def test_runs_in_the_next_test_as_well(self):
        with undone():
            assert run_commit_hooks() == 2
            assert run_commit_hooks() == 0

        assert self.ran == ["of the class", "of the test"]


@pytest.mark.django_db
def test_the_db_fixture_is_like_a_test_case():
    seen = []
    transaction.on_commit(note(seen, "a"))

    assert run_commit_hooks() == 1
    assert seen == ["a"]


@pytest.mark.django_db(transaction=True)
def test_where_commits_are_real_there_is_nothing_to_run():
    seen = []
    with transaction.atomic():
        transaction.on_commit(note(seen, "a"))

    assert seen == ["a"]
    assert run_commit_hooks() == 0


@pytest.mark.django_db(transaction=True)
def test_real_or_not_an_open_block_is_refused():
    with transaction.atomic(), pytest.raises(RuntimeError, match="nothing is committed yet"):
        run_commit_hooks()


def test_a_test_that_did_not_ask_for_the_database_has_none():
    assert not database_is_open()
    assert run_commit_hooks() == 0


class TestSimple(SimpleTestCase):
    def test_a_simple_test_case_has_none_either(self):
        assert not database_is_open()


@pytest.mark.django_db
def test_one_that_asked_has_it():
    assert database_is_open()
