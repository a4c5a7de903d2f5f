"""`manage.py lend`: lend some books that are due in seconds, and see what happens."""

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from library.models import Loan


class Command(BaseCommand):
    """Lend three books: one is kept, one comes back, one is deleted."""

    help = "Lend three books that are due in some seconds."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--seconds", type=float, default=5)

    def handle(self, *args: Any, **options: Any) -> None:
        due_at = timezone.now() + timedelta(seconds=options["seconds"])
        Loan.objects.create(reader="Ada", book="Emma", due_at=due_at)
        returned = Loan.objects.create(reader="Grace", book="Middlemarch", due_at=due_at)
        deleted = Loan.objects.create(reader="Alan", book="Ulysses", due_at=due_at)
        returned.returned = True
        returned.save()
        deleted.delete()
