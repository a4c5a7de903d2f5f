"""Every app of the house in one project: what mypy, the whole-house tests and makemigrations --check look at."""

from automation.testing.databases import database_from_env

SECRET_KEY = "only-for-tests"
USE_TZ = True
TIME_ZONE = "UTC"
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django_q",
    "automation.events",
    "automation.workflows",
    "automation.bridge",
    "automation.q2_executor",
    "tests.guide.bookings",
    "tests.pitfalls.inn",
]
# Else q2 opens a new connection for each look into its table: what `manage.py check` warns of.
DATABASES = {"default": {**database_from_env("automation_house"), "CONN_MAX_AGE": 600}}
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
