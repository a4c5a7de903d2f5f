"""How a story ended, as texts: alike for two ends that are alike, however keys and numbers were given out."""

import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from automation.testing.history import runs_of
from automation.testing.installed import events_aliases, events_models, open_aliases
from automation.testing.owed import Owed

__all__ = ["as_told", "compare", "outcome_of", "settled", "unstable"]

_CONTEXT = "Context of "
_UNCOUNTED = ("automation.", "django_q", "django.contrib.contenttypes")
"""Apps whose rows are no work of a story's: our own tell of deaths and tries, and types of content are made once."""

_KEY = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
"""Runs, events and deliveries have new keys in each telling, and with them what is made of these: idempotency keys."""

_ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]+")
"""Where an object lies that does not say what it is: another place in each telling, or by chance the same."""


def outcome_of(returned: Any) -> dict[str, str]:
    """Return how a story ended, by kind: what it returned, its runs, callbacks and mails, and the rows there are."""
    owed = Owed()
    outcome = {"returned": as_told(returned)}
    if owed.sees_runs:
        runs = runs_of()
        outcome["runs"] = str(sorted(f"{run.name} {run.status}" for run in runs))
        outcome |= _contexts(runs)
    if owed.sees_events:
        models = events_models()
        assert models is not None, "they are seen"
        rows = (models.EventDelivery.objects.using(alias).exclude(phase="relay") for alias in events_aliases())
        calls = (call for each in rows for call in each.values_list("callback", "status"))
        outcome["callbacks"] = str(sorted(f"{callback} {status}" for callback, status in calls))
    outcome["mails"] = str(sorted(_numberless(f"{mail.subject} to {', '.join(mail.to)}") for mail in _outbox()))
    return outcome | {kind: str(number) for kind, number in _rows()}


def settled(expected: dict[str, str], again: dict[str, str]) -> dict[str, str]:
    """Return what can be compared: without what each telling puts anew on Contexts, numbers of rows for example."""
    return {kind: text for kind, text in expected.items() if not kind.startswith(_CONTEXT) or again.get(kind) == text}


def compare(expected: dict[str, str], found: dict[str, str]) -> str:
    """Return the differences as lines, or an empty text when there are none."""
    changed = {kind: found.get(kind, "none") for kind in expected if expected[kind] != found.get(kind)}
    return "\n".join(f"{kind}: {now}\n{' ' * len(kind)}  instead of {expected[kind]}" for kind, now in changed.items())


def as_told(value: Any) -> str:
    """Return a value as a text, as it is now, without addresses. Of UUIDs it tells only which are the same."""
    known: dict[str, str] = {}
    text = _ADDRESS.sub("at an address", _text(value))
    return _KEY.sub(lambda found: known.setdefault(found[0], f"key {len(known) + 1}"), text)


def unstable(difference: str) -> str:
    """Say that a story cannot be compared with itself, and how to write it."""
    return f"The story ends differently each time it is told, with no death:\n{difference}\n\n{_HOW_TO_TELL}"


_HOW_TO_TELL = """\
Make its fakes (lists, mocks, a bank) inside the story, so that each telling has its own. Let it return what it comes
to: counts, amounts, statuses; not numbers that the database gives to rows, no runs and no instances."""


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{{', '.join(_sorted(f'{_text(key)}: {_text(item)}' for key, item in value.items()))}}}"
    if isinstance(value, set | frozenset):
        return f"{{{', '.join(_sorted(map(_text, value)))}}}" if value else "set()"
    if type(value) is list or _is_queryset(value):
        return f"[{', '.join(map(_text, value))}]"
    if type(value) is tuple:
        return f"({', '.join(map(_text, value))}{',' * (len(value) == 1)})"
    return repr(value)


def _sorted(texts: Any) -> list[str]:
    return sorted(texts, key=lambda text: _KEY.sub("", text))


def _is_queryset(value: Any) -> bool:
    query = sys.modules.get("django.db.models.query")
    return query is not None and isinstance(value, query.QuerySet)


def _contexts(runs: list[Any]) -> dict[str, str]:
    values: dict[str, list[str]] = defaultdict(list)
    for run in runs:
        for field, value in (run.data or {}).items():
            values[f"{_CONTEXT}{run.name}, {field}"].append(as_told(value))
    return {kind: ", ".join(sorted(texts)) for kind, texts in values.items()}


def _rows() -> Iterator[tuple[str, int]]:
    """Yield how many rows each table of the project has, on every database that the test may use."""
    for alias in open_aliases():
        tables = set(sys.modules["django.db"].connections[alias].introspection.table_names())
        where = "" if alias == "default" else f" in {alias!r}"
        for model in sys.modules["django.apps"].apps.get_models(include_auto_created=True):
            names = model._meta
            if not names.proxy and names.db_table in tables and not names.app_config.name.startswith(_UNCOUNTED):
                yield f"rows of {names.label_lower}{where}", model._base_manager.using(alias).count()


def _outbox() -> list[Any]:
    mail = sys.modules.get("django.core.mail")
    return list(getattr(mail, "outbox", []))


def _numberless(text: str) -> str:
    return re.sub(r"\d+", "#", text)
