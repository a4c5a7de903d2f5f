"""Columns that hold the same value on every database.

PostgreSQL refuses NUL in text, none of them takes a lone surrogate, jsonb rewrites numbers and reorders keys, and
MariaDB compares text without case and without trailing blanks. What goes into these columns comes back equal, and
names and keys compare bytewise.
"""

import json
import re
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

__all__ = ["JsonText", "NameField", "SafeText"]

_Set_contra = TypeVar("_Set_contra", contravariant=True)
_Get_co = TypeVar("_Get_co", covariant=True)

if TYPE_CHECKING:
    _Text = models.TextField
    _Char = models.CharField
else:
    # They take type arguments, which Django's own do in the stubs only.

    class _Text(models.TextField):
        def __class_getitem__(cls, _: object) -> type:
            return cls

    class _Char(models.CharField):
        def __class_getitem__(cls, _: object) -> type:
            return cls


_MARK = "\x1a"
"""ASCII SUBSTITUTE: starts an escape. It is legal in text everywhere, and nobody writes it by hand."""
_UNSAFE = re.compile("[\x00\x1a\ud800-\udfff]")
_ESCAPED = re.compile("\x1a([0-9a-f]{4})")


def _escape(text: str) -> str:
    return _UNSAFE.sub(lambda found: f"{_MARK}{ord(found.group()):04x}", text)


def _unescape(text: str) -> str:
    return _ESCAPED.sub(lambda found: chr(int(found.group(1), 16)), text) if _MARK in text else text


class SafeText(_Text[_Set_contra, _Get_co]):
    """Text of any length that may hold anything a Python string may hold, NUL and lone surrogates included."""

    def get_prep_value(self, value: Any) -> Any:
        """Escape what databases refuse."""
        prepared = super().get_prep_value(value)
        return _escape(prepared) if isinstance(prepared, str) else prepared

    def from_db_value(self, value: str | None, _expression: Any, _connection: BaseDatabaseWrapper) -> str | None:
        """Undo the escapes."""
        return None if value is None else _unescape(value)


class NameField(_Char[_Set_contra, _Get_co]):
    """A short name or key, compared bytewise on every database."""

    def get_prep_value(self, value: Any) -> Any:
        """Escape what databases refuse."""
        prepared = super().get_prep_value(value)
        return _escape(prepared) if isinstance(prepared, str) else prepared

    def from_db_value(self, value: str | None, _expression: Any, _connection: BaseDatabaseWrapper) -> str | None:
        """Undo the escapes."""
        return None if value is None else _unescape(value)

    def get_db_prep_save(self, value: Any, connection: BaseDatabaseWrapper) -> Any:
        """Refuse what is too long alike on every database: SQLite would keep it, MariaDB might cut it."""
        prepared = super().get_db_prep_save(value, connection)
        if isinstance(prepared, str) and self.max_length is not None and len(prepared) > self.max_length:
            raise ValueError(f"{self.model.__name__}.{self.name} holds {self.max_length} characters: {value!r}.")
        return prepared

    def db_type(self, connection: BaseDatabaseWrapper) -> str | None:
        """Name the character set beside the type, so that the collation fits whatever the database's default is."""
        kind = super().db_type(connection)
        return f"{kind} CHARACTER SET utf8mb4" if connection.vendor == "mysql" else kind

    def db_parameters(self, connection: BaseDatabaseWrapper) -> Any:
        """Add the bytewise collation that does not ignore trailing blanks, where text is not bytewise by itself."""
        parameters = super().db_parameters(connection)
        if connection.vendor == "mysql":
            is_mariadb = getattr(connection, "mysql_is_mariadb", False)
            parameters["collation"] = "utf8mb4_nopad_bin" if is_mariadb else "utf8mb4_0900_bin"
        return parameters


class JsonText(_Text[_Set_contra, _Get_co]):
    """A JSON value kept as ASCII text: key order, floats, large integers and every character come back equal."""

    # The field's types, as django-stubs reads them: any JSON value.
    _pyi_private_set_type: Any
    _pyi_private_get_type: Any

    def get_prep_value(self, value: Any) -> Any:
        """Write the JSON; None is NULL."""
        return None if value is None else json.dumps(value, separators=(",", ":"))

    def from_db_value(self, value: str | None, _expression: Any, _connection: BaseDatabaseWrapper) -> Any:
        """Read the JSON."""
        return None if value is None else json.loads(value)

    def to_python(self, value: Any) -> Any:
        """Take the value as it is: it is JSON already, not text."""
        return value

    def value_to_string(self, obj: models.Model) -> Any:
        """Return serializers the JSON value itself, so that `dumpdata` and `loaddata` keep it."""
        return self.value_from_object(obj)
