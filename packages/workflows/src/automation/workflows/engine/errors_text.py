"""An exception as text that every database keeps: bounded, without values of fields, without halves of characters."""

import logging
import re
import traceback
from collections.abc import Callable

from pydantic import ValidationError

from automation.workflows.authoring.contexts import problems

__all__ = ["bounded", "describe", "summarise"]

logger = logging.getLogger("automation.workflows")

_SUMMARY = 200
_CAUSES = 5
"""Exceptions of one chain that are told."""
_LOOKED_AT = 256 * 1024
"""Characters of a message that are read at all: some carry a whole response."""
_ROW_VALUES = re.compile(r"(?<=Duplicate entry )'.*'(?= for key)|\n(DETAIL|CONTEXT):.*", re.DOTALL)
"""Where MariaDB, MySQL and PostgreSQL quote the values of a row in an error."""


def describe(error: BaseException, length: int, redact: Callable[[str], str]) -> str:
    """Return type and message on the first line, then the traceback."""
    frames = "".join(_frames(error))
    return bounded(f"{summarise(error, length)}\n\n{frames}", length, redact)


def bounded(text: str, length: int, redact: Callable[[str], str]) -> str:
    """Return a text as it may be stored; what the project's filter cannot take is withheld."""
    try:
        return _storable(redact(text))[:length]
    except Exception as error:  # noqa: BLE001 - the project's code; its own error may quote what it is there to hide
        logger.error("AUTOMATION_WORKFLOWS['REDACT'] raised %s; the text is withheld.", type(error).__name__)
        return f"(withheld: AUTOMATION_WORKFLOWS['REDACT'] raised {type(error).__name__})"[:length]


def summarise(error: BaseException, length: int = _SUMMARY) -> str:
    """Return type and message as one line."""
    message = " ".join(_message(error).split())
    name = type(error).__name__
    return _storable(f"{name}: {message}" if message else name)[:length]


def _message(error: BaseException) -> str:
    """Return what the exception says; pydantic's own text would quote the values, which may be personal."""
    try:
        if isinstance(error, ValidationError):
            return problems(error)
        return _ROW_VALUES.sub("", str(error)[:_LOOKED_AT])
    except Exception:  # noqa: BLE001 - __str__ of a user's exception may raise anything
        return "(its __str__ raised)"


def _frames(error: BaseException) -> list[str]:
    """Return file, line and function of each frame, innermost last, without local values; then of what caused it."""
    told: list[str] = []
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen and len(seen) < _CAUSES:
        if seen:
            told.append(f"\nCaused by {summarise(each)}\n")
        seen.add(id(each))
        told += (
            f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}\n    {frame.line or ""}\n'
            for frame in traceback.extract_tb(each.__traceback__, limit=-30)
        )
        each = each.__cause__ if each.__suppress_context__ else each.__context__
    return told


def _storable(text: str) -> str:
    return text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode("utf-8")
