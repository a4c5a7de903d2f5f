import os
import tempfile
from pathlib import Path

from automation.testing.databases import database_from_env, sqlite

SECRET_KEY = "only-for-tests"
USE_TZ = True
TIME_ZONE = "Europe/Berlin"
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "automation.events",
    "automation.workflows",
    "automation.bridge",
    "tests.shop",
]
# Suites on different databases may run side by side, so the second database is told apart by the kind of the first.
OTHER = "_".join(["automation_testing_other", os.environ.get("AUTOMATION_TEST_DATABASE", "sqlite")])
OTHER += f"{os.environ.get('AUTOMATION_TEST_SUFFIX', '')}-{os.getuid()}.sqlite3"
DATABASES = {
    "default": database_from_env("automation_testing"),
    "other": sqlite(Path(tempfile.gettempdir()) / OTHER),
}
# Django has no default mailer from 6.1 on.
MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}
