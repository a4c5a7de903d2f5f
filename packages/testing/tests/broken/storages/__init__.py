"""Storages in memory that are each broken in one way; each file is about one topic of the contract."""

from importlib import import_module
from pkgutil import iter_modules

from tests.broken.storages.effort import Measured
from tests.broken.storages.intact import BROKEN, Intact
from tests.broken.storages.retention import Tidying
from tests.broken.storages.statements import Counting

__all__ = ["BROKEN", "Counting", "Intact", "Measured", "Tidying"]

for _topic in iter_modules(__path__):
    import_module(f"{__name__}.{_topic.name}")
