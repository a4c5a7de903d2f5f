"""The app under test, with a label of its own."""

from django.apps import AppConfig


class HotelConfig(AppConfig):
    """Stays and what concerns them."""

    name = "tests.hotel"
    label = "bridge_hotel"
