"""The settings that docs/running-on-django-q2.md shows fit together."""

from datetime import timedelta
from pathlib import Path

import pytest

from automation.q2_executor.conf import Configuration
from automation.workflows.ports.policy import Policy
from tests.docs.pages import ROOT, Page, Project

PAGE = "docs/running-on-django-q2.md"


@pytest.mark.parametrize("settings", ["settings_server", "settings_queues", "settings_redis"])
def test_the_settings_shown_are_not_warned_of(settings: str, tmp_path: Path):
    said = Project(Page(PAGE), tmp_path).manage("check", settings=settings)

    assert "no issues" in said


def test_the_bound_is_what_the_settings_make_it():
    """T = claim + sweep + what q2's scheduler is late."""
    policy, sweep = Policy(), Configuration().sweep_every
    bound = policy.step_timeout + policy.claim_margin + sweep + timedelta(seconds=30)

    page = (ROOT / PAGE).read_text()

    assert f"= {bound.total_seconds():.0f} s" in page
