"""Nothing of a test that commits is left for the next one, but what `migrate` wrote."""

import pytest
from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from automation.events.models import EventDelivery
from automation.testing import Harness
from automation.testing.flushing import KEPT, quick_flush
from automation.workflows.models import WorkflowAttempt
from tests.shop.automations import Chase
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)


def rows() -> dict[str, int]:
    return {
        model._meta.db_table: count
        for model in apps.get_models()
        if model._meta.db_table not in KEPT and (count := model._base_manager.count())
    }


def test_every_table_is_empty_whatever_refers_to_whatever():
    with Harness() as automation:
        automation.save(Order(), status="paid")
        automation.start(Chase)
    assert {EventDelivery._meta.db_table, WorkflowAttempt._meta.db_table} < rows().keys()

    with quick_flush():
        call_command("flush", interactive=False, verbosity=0)

    assert rows() == {}


def test_content_types_stay():
    before = set(ContentType.objects.values_list("pk", "model"))

    with quick_flush():
        call_command("flush", interactive=False, verbosity=0)

    assert set(ContentType.objects.values_list("pk", "model")) == before != set()


def test_nothing_is_deleted_where_nothing_is():
    with quick_flush(), CaptureQueriesContext(connection) as captured:
        call_command("flush", interactive=False, verbosity=0)

    assert not any("DELETE" in query["sql"] for query in captured)
