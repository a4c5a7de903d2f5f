"""The app under test, with a label of its own."""

from django.apps import AppConfig


class HotelConfig(AppConfig):
    """Stays, their papers, and a ledger of what was done."""

    name = "tests.clusters.hotel"
    label = "cluster_hotel"
