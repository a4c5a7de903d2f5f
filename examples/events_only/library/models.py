"""Books that are lent, and have to come back."""

from django.db import models

from automation.events.definitions import EventDefinition


class Loan(models.Model):
    reader = models.CharField(max_length=50)
    book = models.CharField(max_length=100)
    due_at = models.DateTimeField()
    returned = models.BooleanField(default=False)

    events = [
        EventDefinition("loan_returned", condition=lambda loan: loan.returned),
        EventDefinition(
            "loan_due",
            date_field="due_at",
            condition=lambda loan: not loan.returned,
            payload=lambda loan: {"book": loan.book},
        ),
    ]

    def __str__(self) -> str:
        return f"{self.book}, lent to {self.reader}"


class Letter(models.Model):
    """What the library writes to its readers."""

    loan = models.ForeignKey(Loan, on_delete=models.CASCADE, related_name="letters")
    text = models.CharField(max_length=200)

    def __str__(self) -> str:
        return self.text
