"""Options that several commands take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import connections

__all__ = ["add_database", "chosen_database"]


def add_database(parser: CommandParser) -> None:
    """Let the command take `--database`."""
    parser.add_argument("--database", metavar="ALIAS", help="default: all that have the tables")


def chosen_database(options: Mapping[str, Any]) -> str | None:
    """Return the alias that was given, or None; raises `CommandError` when no database is called so.

    Django's parser does not look at what `call_command` is given by keyword, so it is checked here for both.
    """
    alias: str | None = options["database"]
    if alias is not None and alias not in connections:
        configured = ", ".join(repr(one) for one in connections)
        raise CommandError(f"There is no database {alias!r} in DATABASES. Configured: {configured}.")
    return alias
