"""`automation_erase` empties what runs know about an entity, too."""

from io import StringIO

import pytest
from django.core.management import call_command

from automation.testing import Harness
from automation.workflows.models import WorkflowRun
from tests.hotel.models import Stay

pytestmark = pytest.mark.django_db(databases=["default", "other"])


def test_the_context_of_a_run_is_erased_with_the_events_of_its_entity(automation: Harness):
    kept, erased = Stay.objects.create(name="Ada"), Stay.objects.create(name="Grace")
    automation.run_until_idle()
    out = StringIO()

    call_command("automation_erase", "bridge_hotel.Stay", str(erased.pk), stdout=out)

    assert "workflows:" in out.getvalue()
    contexts = {run.entity_id: run.data for run in WorkflowRun.objects.filter(name__endswith="Sound")}
    assert contexts == {str(kept.pk): {"stay": kept.pk, "planned_for": None}, str(erased.pk): {}}
