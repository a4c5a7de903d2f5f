"""Events and workflows with django-q2 and nothing else. `AUTOMATION_TEST_ONLY` leaves one of the two out."""

import os

from automation.testing.databases import database_from_env

SECRET_KEY = "only-for-tests"
USE_TZ = True
TIME_ZONE = "UTC"
ONLY = os.environ.get("AUTOMATION_TEST_ONLY")
HALVES = [f"automation.{half}" for half in ("events", "workflows") if ONLY in {None, half}]
INSTALLED_APPS = ["django.contrib.contenttypes", "django_q", *HALVES, "automation.q2_executor"]
DATABASES = {"default": {**database_from_env("automation_q2_executor"), "CONN_MAX_AGE": 600}}
Q_CLUSTER = {
    "name": "automation",
    "orm": "default",
    "timeout": 50,
    "retry": 60,
    "max_attempts": 3,
    "catch_up": False,
    "workers": 2,
    "bulk": 1,
}
