"""A project as our users have it: the apps, one database, a queue. Scenes say which by the environment."""

import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from automation.testing.databases import database_from_env, sqlite


def _given(variable: str) -> dict[str, Any]:
    given: dict[str, Any] = json.loads(os.environ.get(variable, "{}"))
    return given


SECRET_KEY = "only-for-tests"
USE_TZ = True
TIME_ZONE = "UTC"
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django_q",
    "automation.events",
    "automation.workflows",
    "automation.bridge",
    "automation.q2_executor",
    "tests.clusters.hotel",
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

_name = os.environ["AUTOMATION_CLUSTER_NAME"]
_kind = os.environ.get("AUTOMATION_TEST_DATABASE", "sqlite")
_folder = Path(os.environ["AUTOMATION_CLUSTER_FOLDER"])
_database: dict[str, Any] = sqlite(_folder / "house.sqlite3") if _kind == "sqlite" else database_from_env(_name)
# Else q2 opens a new connection for each look into its table, and for each task.
DATABASES = {"default": {**_database, "CONN_MAX_AGE": 600, "TEST": {"NAME": _database["NAME"]}}}

_redis = os.environ.get("AUTOMATION_TEST_REDIS", "redis://127.0.0.1:6379/9")
_broker = {"redis": _redis} if os.environ.get("AUTOMATION_CLUSTER_BROKER") == "redis" else {"orm": "default"}
Q_CLUSTER = {
    "name": _name,
    "timeout": 50,
    "retry": 60,
    "max_attempts": 3,
    "catch_up": False,
    "workers": 2,
    "bulk": 1,
    "log_level": "WARNING",
    **_broker,
    **_given("AUTOMATION_CLUSTER_Q2"),
}
AUTOMATION_Q2 = {
    **{key: timedelta(seconds=value) for key, value in _given("AUTOMATION_CLUSTER_EVERY").items()},
    **_given("AUTOMATION_CLUSTER_QUEUES"),
}
AUTOMATION_WORKFLOWS = {key: timedelta(seconds=value) for key, value in _given("AUTOMATION_CLUSTER_CLAIMS").items()}
AUTOMATION_EVENTS = {key: timedelta(seconds=value) for key, value in _given("AUTOMATION_CLUSTER_CALLS").items()}
