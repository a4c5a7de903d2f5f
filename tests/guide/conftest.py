import pytest

from tests.guide.bookings.automations import lifecycle

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def nothing_seen():
    lifecycle.seen.clear()
