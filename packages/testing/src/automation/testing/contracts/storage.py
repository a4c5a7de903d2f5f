"""The contract of the Storage port, its Mailbox and its Plans: every numbered guarantee of the ports is here."""

from automation.testing.contracts.mailbox import MailboxClaims
from automation.testing.contracts.plans import PlansClaims
from automation.testing.contracts.rows import RowClaims
from automation.testing.contracts.transactions import TransactionClaims
from automation.testing.contracts.waits import WaitClaims

__all__ = ["StorageContract"]


class StorageContract(RowClaims, TransactionClaims, MailboxClaims, WaitClaims, PlansClaims):
    """Subclass it and give `make_storage()`; each test gets a storage of its own, empty.

    Override `beside()` when a thread must be tidied up after, such as a database connection that has to be closed,
    `attempts_of()` when the storage keeps history that can be read (the port itself only writes it), and
    `swallow_an_error()` when user code writes in the same transactions.
    """
