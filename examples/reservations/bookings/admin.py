"""The admin of the bookings."""

from django.contrib import admin

from bookings.models import GuestDocument, Message, Reservation

admin.site.register([Reservation, GuestDocument, Message])
