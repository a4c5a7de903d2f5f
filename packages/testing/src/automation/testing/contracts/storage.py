"""The contract of the Storage port, its Mailbox and its Plans: the numbered guarantees of the ports.

Some of them cannot be seen through the ports alone and need a hook; its tests are skipped, with the reason, where an
adapter does not give it.
"""

from automation.testing.contracts.effort import EffortClaims
from automation.testing.contracts.mailbox import MailboxClaims
from automation.testing.contracts.plans import PlansClaims
from automation.testing.contracts.rows import RowClaims
from automation.testing.contracts.transactions import TransactionClaims
from automation.testing.contracts.waits import WaitClaims

__all__ = ["StorageContract"]


class StorageContract(RowClaims, TransactionClaims, MailboxClaims, WaitClaims, PlansClaims, EffortClaims):
    """Subclass it and give `make_storage()`; each test gets a storage of its own, empty.

    Override `beside()` when a thread must be tidied up after, such as a database connection that has to be closed,
    `attempts_of()` when the storage keeps history that can be read (the port itself only writes it),
    `swallow_an_error()` when user code writes in the same transactions, `clean_up()` when anything is ever deleted,
    `statements()` when the storage speaks to a database, and `effort_of()` to have it seen that finished runs cost
    nothing.
    """
