"""Fakes in the place of events and workflows, and q2's settings changed for one test."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django_q.conf import Conf

from automation.events.ports import wiring as events_wiring
from automation.q2_executor import sweeps
from automation.q2_executor.executor import Q2Dispatcher, Q2Executor
from automation.testing.flushing import quick_flush
from automation.workflows.ports import wiring as workflows_wiring
from tests.fakes import FakeProcessor, FakeStorage, FakeWorker


@pytest.fixture(autouse=True, scope="session")
def _quick_flush() -> Iterator[None]:
    with quick_flush():
        yield


@pytest.fixture(autouse=True)
def _no_memory_of_glances(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test begin with a process that has just looked after the sweeps."""
    glance = sweeps.Glance()
    glance.is_due()
    monkeypatch.setattr(sweeps, "glance", glance)


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> FakeWorker:
    fake = FakeWorker()
    monkeypatch.setattr(workflows_wiring, "worker", fake)
    return fake


@pytest.fixture
def processor(monkeypatch: pytest.MonkeyPatch) -> FakeProcessor:
    fake = FakeProcessor()
    monkeypatch.setattr(events_wiring, "processor", fake)
    return fake


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> FakeStorage:
    fake = FakeStorage()
    monkeypatch.setattr(workflows_wiring, "storage", fake)
    return fake


@pytest.fixture
def executor(storage: FakeStorage, worker: FakeWorker) -> Q2Executor:
    return Q2Executor()


@pytest.fixture
def dispatcher(processor: FakeProcessor) -> Q2Dispatcher:
    return Q2Dispatcher()


@pytest.fixture
def q2(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Change attributes of q2's configuration for this test: `q2(ORM=None)`."""

    def change(**attributes: Any) -> None:
        for name, value in attributes.items():
            monkeypatch.setattr(Conf, name, value)

    return change
