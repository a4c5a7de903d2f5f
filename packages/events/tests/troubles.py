"""Troubles of a database, made on purpose: tables held by somebody else, and sessions that may not write."""

import threading
from contextlib import contextmanager

from django.db import connection

from tests.processes import PATIENCE, wait_until


@contextmanager
def held(*tables):
    """Hold tables on another connection, as a migration does that rewrites them: nobody else reads or writes them."""
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            match other.vendor:
                case "postgresql":
                    other.set_autocommit(False)
                    cursor.execute(f"LOCK TABLE {', '.join(tables)} IN ACCESS EXCLUSIVE MODE")
                case "mysql":
                    cursor.execute(f"LOCK TABLES {', '.join(f'{table} WRITE' for table in tables)}")
                case _:
                    cursor.execute("BEGIN EXCLUSIVE")
        yield
    finally:
        other.close()


@contextmanager
def impatient():
    """Let this connection give up soon when it has to wait for somebody else's lock."""
    with _between(*IMPATIENT[connection.vendor]):
        yield


@contextmanager
def read_only():
    """Let this connection only read, as on a server that has become a replica."""
    with writing_again():
        stop_writing()
        yield


def stop_writing():
    """Let this connection only read from its next transaction on, or from now."""
    _run(READ_ONLY[connection.vendor][0])


@contextmanager
def writing_again():
    """Let this connection write again at the end of the block."""
    with _between(None, READ_ONLY[connection.vendor][1]):
        yield


@contextmanager
def full_disk():
    """Let the file of this SQLite database not grow any more."""
    _run("VACUUM")  # what earlier tests have deleted leaves room
    with connection.cursor() as cursor:
        pages = cursor.execute("PRAGMA page_count").fetchone()[0]
    with _between(f"PRAGMA max_page_count = {pages}", f"PRAGMA max_page_count = {1 << 30}"):
        yield


IMPATIENT = {
    "postgresql": ("SET lock_timeout = '100ms'", "RESET lock_timeout"),
    "mysql": (
        "SET SESSION lock_wait_timeout = 1, SESSION innodb_lock_wait_timeout = 1",
        "SET SESSION lock_wait_timeout = DEFAULT, SESSION innodb_lock_wait_timeout = DEFAULT",
    ),
    "sqlite": ("PRAGMA busy_timeout = 50", "PRAGMA busy_timeout = 20000"),
}
READ_ONLY = {
    "postgresql": ("SET default_transaction_read_only = on", "SET default_transaction_read_only = off"),
    "mysql": ("SET SESSION TRANSACTION READ ONLY", "SET SESSION TRANSACTION READ WRITE"),
    "sqlite": ("PRAGMA query_only = ON", "PRAGMA query_only = OFF"),
}


def waiting():
    """Return how many connections to this database wait for a lock on a table; None where nobody can tell."""
    sql = {
        "postgresql": "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted AND locktype = 'relation'"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        "mysql": "SELECT count(*) FROM information_schema.processlist"
        " WHERE db = database() AND state LIKE 'Waiting for table metadata lock%'",
    }.get(connection.vendor)
    if sql is None:
        return None
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


def waits_for_a_row():
    """Wait until another connection to this database waits for a row that is locked."""
    own, sql, pause = {
        "postgresql": (
            "SELECT pg_backend_pid()",
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            " AND pid <> %s",
            0.005,
        ),
        # InnoDB makes a new picture only when nobody has looked at the old one for a tenth of a second.
        "mysql": (
            "SELECT connection_id()",
            "SELECT count(*) FROM information_schema.innodb_trx t JOIN information_schema.processlist p"
            " ON p.id = t.trx_mysql_thread_id WHERE p.db = database() AND t.trx_state = 'LOCK WAIT' AND p.id <> %s",
            0.12,
        ),
    }[connection.vendor]

    def is_waiting():
        with connection.cursor() as cursor:
            cursor.execute(own)
            cursor.execute(sql, [cursor.fetchone()[0]])
            return cursor.fetchone()[0]

    wait_until(is_waiting, pause=pause)


@contextmanager
def beside(*works):
    """Do each on a connection of its own while the block runs; wait for their ends, and raise what they raised."""
    failed = []

    def run(work):
        try:
            work()
        except BaseException as error:
            failed.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in threads)
    if failed:
        raise failed[0]


DEADLOCKS = {
    "postgresql": {"deadlock": "DO $$ BEGIN RAISE EXCEPTION 'deadlock detected' USING ERRCODE = '40P01'; END $$"},
    "mysql": {
        "deadlock": "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'Deadlock found'",
        "changed": "SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1020, MESSAGE_TEXT = 'Record has changed'",
    },
}


def deadlocks():
    """Return the ways in which this database takes a statement back for the sake of another transaction."""
    return sorted(DEADLOCKS.get(connection.vendor, ()))


@contextmanager
def taken_back(kind, matching):
    """Let the server refuse the first statement that `matching` accepts, as if it had met another transaction.

    A deadlock of MariaDB's undoes the whole transaction, unlike any other error there.
    """
    met = []

    def refuse(execute, sql, params, many, context):
        if not met and matching(sql, params):
            met.append(sql)
            if kind == "deadlock" and connection.vendor == "mysql":
                connection.connection.rollback()
            return execute(DEADLOCKS[connection.vendor][kind], None, many, context)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(refuse):
        yield
    assert met, "no statement was refused"


@contextmanager
def _between(before, after):
    if before is not None:
        _run(before)
    try:
        yield
    finally:
        _run(after)


def _run(statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)
