"""A project with one app of models, on the database that the environment names."""

import os
import tempfile
from pathlib import Path

from automation.testing.databases import database_from_env, sqlite

SECRET_KEY = "only-for-tests"
USE_TZ = True
TIME_ZONE = "Europe/Amsterdam"
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.admin",
    "automation.events",
    "tests.hotel",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
ROOT_URLCONF = "tests.urls"
STATIC_URL = "/static/"
# Suites on different databases may run side by side, so the second database is told apart by the kind of the first.
OTHER = "_".join(["automation_events_other", os.environ.get("AUTOMATION_TEST_DATABASE", "sqlite")])
OTHER += f"{os.environ.get('AUTOMATION_TEST_SUFFIX', '')}-{os.getuid()}.sqlite3"
DATABASES = {
    "default": database_from_env("automation_events"),
    "other": sqlite(Path(tempfile.gettempdir()) / OTHER),
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
