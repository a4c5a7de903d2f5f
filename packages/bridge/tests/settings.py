"""Events, workflows and the bridge, with a second database for events whose runs are elsewhere."""

from automation.testing.databases import database_from_env

SECRET_KEY = "only-for-tests"
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "automation.bridge",
    "automation.events",
    "automation.workflows",
    "tests.hotel",
]
DATABASES = {
    "default": database_from_env("automation_bridge"),
    "other": database_from_env("automation_bridge_other"),
}
