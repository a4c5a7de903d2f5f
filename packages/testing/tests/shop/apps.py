from django.apps import AppConfig


class ShopConfig(AppConfig):
    name = "tests.shop"
    label = "testing_shop"
    default_auto_field = "django.db.models.BigAutoField"
