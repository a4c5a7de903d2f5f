"""The databases a suite runs on, chosen from outside by one environment variable.

`AUTOMATION_TEST_DATABASE` is `sqlite` (the default), `postgres` or `mariadb`; host, port, user and password come from
`AUTOMATION_TEST_HOST`, `_PORT`, `_USER` and `_PASSWORD` where they differ from a server on this machine.
`AUTOMATION_TEST_SUFFIX` is added to the database's name, so that two checkouts can be tested side by side.
"""

import os
import tempfile
from pathlib import Path
from typing import Any

__all__ = ["database_from_env"]


def database_from_env(name: str, *, variable: str = "AUTOMATION_TEST_DATABASE") -> dict[str, Any]:
    """Return the `DATABASES` entry for the database that `variable` names; `name` is the database's own name.

    SQLite is on disk, in WAL mode with IMMEDIATE transactions, as we advise for production: threads and other
    processes then see what a test commits. Raises ValueError for a kind that is not known.
    """
    kind = os.environ.get(variable, "sqlite")
    name += os.environ.get("AUTOMATION_TEST_SUFFIX", "")
    match kind:
        case "sqlite":
            return sqlite(Path(tempfile.gettempdir()) / f"{name}-{os.getuid()}.sqlite3")
        case "postgres":
            return {**_server("django.db.backends.postgresql", name, "postgres"), "OPTIONS": {}}
        case "mariadb":
            _use_pymysql()
            return {**_server("django.db.backends.mysql", name, "root"), "OPTIONS": {"charset": "utf8mb4"}}
    raise ValueError(f"{variable}={kind!r} is not a database we know. Use 'sqlite', 'postgres' or 'mariadb'.")


def sqlite(path: Path) -> dict[str, Any]:
    """Return the entry for a SQLite file with the options we advise: WAL, IMMEDIATE, a generous busy timeout."""
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(path),
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
        "TEST": {"NAME": str(path.with_name(f"test_{path.name}"))},
    }


def _server(engine: str, name: str, user: str) -> dict[str, Any]:
    return {
        "ENGINE": engine,
        "NAME": name,
        "HOST": os.environ.get("AUTOMATION_TEST_HOST", "127.0.0.1"),
        "PORT": os.environ.get("AUTOMATION_TEST_PORT", ""),
        "USER": os.environ.get("AUTOMATION_TEST_USER", user),
        "PASSWORD": os.environ.get("AUTOMATION_TEST_PASSWORD", ""),
    }


def _use_pymysql() -> None:
    """Let Django find PyMySQL, which installs from a wheel everywhere, under the name of mysqlclient."""
    import pymysql

    # Django refuses mysqlclient older than 2.2.1 by this number; PyMySQL speaks the same DB-API.
    pymysql.version_info = (2, 2, 7, "final", 0)
    pymysql.install_as_MySQLdb()
