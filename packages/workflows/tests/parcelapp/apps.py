"""The test app."""

from django.apps import AppConfig


class ParcelConfig(AppConfig):
    """An app whose label does not depend on where the tests lie."""

    name = "tests.parcelapp"
    label = "parcelapp"
    default_auto_field = "django.db.models.BigAutoField"
