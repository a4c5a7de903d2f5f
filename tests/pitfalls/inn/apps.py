from django.apps import AppConfig


class InnConfig(AppConfig):
    name = "tests.pitfalls.inn"
    label = "pitfalls_inn"
    default_auto_field = "django.db.models.BigAutoField"
