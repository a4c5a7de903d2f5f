"""The app that takes reservations."""

from django.apps import AppConfig


class BookingsConfig(AppConfig):
    """Reservations, the documents that guests send, and the mail that goes out to them."""

    name = "bookings"
