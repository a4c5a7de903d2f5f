"""What every unit test has: a registry of its own, and a world."""

import pytest

from automation.workflows.authoring.registry import registry
from automation.workflows.engine.engine import Engine
from automation.workflows.engine.memory.storage import MemoryStorage
from tests.unit.world import World


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workflows that a test defines are gone when it ends."""
    monkeypatch.setattr(registry, "_versions", {})


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def engine(world: World) -> Engine:
    return world.engine


@pytest.fixture
def storage(world: World) -> MemoryStorage:
    return world.storage
