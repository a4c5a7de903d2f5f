"""System checks of five packages, run by one word: `manage.py check --tag automation`."""

from django.core.checks import Tags
from django.core.checks.registry import registry


def test_one_tag_selects_every_check_of_the_house_that_needs_no_database():
    ours = [check for check in registry.registered_checks if check.__module__.startswith("automation.")]

    assert {check.__module__.split(".")[1] for check in ours} == {"bridge", "events", "q2_executor", "workflows"}
    assert [check.__qualname__ for check in ours if not {"automation", Tags.database} & set(check.tags)] == []
