"""A Django project in one file, on a fresh PostgreSQL database, with the apps that an entrant asks for."""

import django
from django.conf import settings
from django.core.management import call_command
from stopwatch import HOST, USER, fresh_database

__all__ = ["start"]


def start(name: str, *apps: str) -> None:
    """Configure Django, make the database, and migrate."""
    settings.configure(
        SECRET_KEY="only for measuring",
        USE_TZ=True,
        INSTALLED_APPS=["django.contrib.contenttypes", *apps],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": fresh_database(f"automation_bench_{name}"),
                "HOST": HOST,
                "USER": USER,
                "CONN_MAX_AGE": None,
            }
        },
        LOGGING_CONFIG=None,
    )
    django.setup()
    call_command("migrate", run_syncdb=True, verbosity=0)
