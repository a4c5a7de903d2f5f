"""Settings as we advise them for the embedded default: SQLite in WAL mode and, beside the data, django-q2's queue."""

import os
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
VAR = Path(os.environ.get("RESERVATIONS_VAR", PROJECT / "var"))
VAR.mkdir(parents=True, exist_ok=True)

SECRET_KEY = "an example has no secrets"
DEBUG = True
USE_TZ = True
TIME_ZONE = "UTC"
ROOT_URLCONF = "config.urls"
STATIC_URL = "static/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django_q",
    "automation.events",
    "automation.workflows",
    "automation.bridge",
    "automation.q2_executor",
    "bookings",
    "demo",
]

MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
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

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": VAR / "reservations.sqlite3",
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
    }
}

# The cluster reports that it is alive through the cache, so this must be one that other processes can see.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
        "LOCATION": VAR / "cache",
    }
}

Q_CLUSTER = {
    "name": "reservations",
    "orm": "default",
    "timeout": 50,
    "retry": 60,
    "max_attempts": 3,
    "catch_up": False,
    "workers": 2,
    "bulk": 1,
}
