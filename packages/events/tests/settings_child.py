"""The settings of processes that tests start: the test's own database, and claims that end soon."""

import os
from datetime import timedelta

from tests.settings import *  # noqa: F403
from tests.settings import DATABASES

DATABASES["default"]["NAME"] = os.environ["TEST_CHILD_DATABASE"]
del DATABASES["other"]
AUTOMATION_EVENTS = {
    "CLAIM": timedelta(seconds=2),
    "RETRY_ATTEMPTS": 1000,
    "RETRY_BASE_DELAY": timedelta(milliseconds=50),
    "RETRY_MAX_DELAY": timedelta(milliseconds=200),
    "BATCH": 50,
}
