"""The settings of real workers that are killed: claims end soon, so that what they lose is found soon."""

from datetime import timedelta

from tests.settings import *  # noqa: F403

AUTOMATION_WORKFLOWS = {
    "STEP_TIMEOUT": timedelta(seconds=1),
    "CLAIM_MARGIN": timedelta(milliseconds=500),
    "REHINT": timedelta(seconds=1),
}
LOGGING = {"version": 1, "disable_existing_loggers": False, "loggers": {"automation": {"level": "CRITICAL"}}}
