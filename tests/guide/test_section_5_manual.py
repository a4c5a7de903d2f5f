"""Section 5: a workflow is started by hand."""

import sys
from types import ModuleType

import pytest

from automation.workflows.core import engine
from automation.workflows.models import WorkflowRun, WorkflowStatus
from tests.guide.page import execute

pytestmark = pytest.mark.django_db


@pytest.fixture
def block():
    """Execute the block as a module: it declares the workflow and starts it at once."""
    module = ModuleType("tests.guide.manual_block")
    sys.modules[module.__name__] = module
    execute("manual", vars(module))
    yield module
    del sys.modules[module.__name__]


def test_the_block_starts_a_run_that_completes(automation, block):
    automation.run_until_idle()

    automation.assert_completed("reindex_listing", listing_id=123)


def test_it_is_one_row_with_its_context(automation, block):
    automation.run_until_idle()

    row = WorkflowRun.objects.get(name="reindex_listing")

    assert (row.status, row.data) == (WorkflowStatus.COMPLETED, {"listing_id": 123})
    assert row.triggered_by_event_id is None


def test_a_mistyped_name_is_answered_with_the_right_one(block):
    with pytest.raises(ValueError, match="Did you mean 'reindex_listing'"):
        engine.start("reindex_lsting", listing_id=1)
