from automation.testing.databases import database_from_env

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
DATABASES = {"default": database_from_env("automation_testing")}
# Django has no default mailer from 6.1 on.
MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}
