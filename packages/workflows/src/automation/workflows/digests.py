"""Digests stand in for text of any length in unique and lookup columns: bytewise, short, alike on every database."""

from collections.abc import Iterable
from hashlib import sha256

from automation.workflows.runs.matching import entity_key, user_key
from automation.workflows.runs.values import Run, Signal

__all__ = ["address_digest", "digest", "key_digest", "occurrence_digest", "signal_addresses"]


def digest(*parts: str) -> str:
    """Return the SHA-256 of the parts as 64 hexadecimal digits.

    Each part carries its length, so that ("a", "b") is not ("ab",).
    """
    hashed = sha256()
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        hashed.update(f"{len(encoded)}:".encode())
        hashed.update(encoded)
    return hashed.hexdigest()


def key_digest(run: Run) -> str | None:
    """Return what makes (name, run_key) unique; None for a run without a key, of which there may be many."""
    return None if run.run_key is None else digest("run_key", run.name, run.run_key)


def occurrence_digest(run: Run) -> str | None:
    """Return what makes (occurrence, name) unique; None for a run that no event planned or started.

    The generation is part of it: a date that was cleared and set again is another occurrence of the same event row.
    """
    if run.occurrence is None:
        return None
    return digest("occurrence", run.occurrence.id, str(run.occurrence.generation), run.name)


def address_digest(name: str, key: str) -> str:
    """Return what a signal `name` and a wait for it share when the wait's `key` is what the signal is about."""
    return digest("address", name, key)


def signal_addresses(signal: Signal) -> Iterable[str]:
    """Yield a digest for each thing the signal is about: its key and its subjects."""
    if signal.key is not None:
        yield address_digest(signal.name, user_key(signal.key))
    for subject in signal.subjects:
        yield address_digest(signal.name, entity_key(subject))
