"""automation-workflows: the same ten steps, each with its history row and its commit, in one process."""

from project import start
from stopwatch import measure

STEPS = 10


def declare() -> None:
    from pydantic import BaseModel

    from automation.workflows.core import complete, get_context, goto, step, workflow

    @workflow("chain")
    class Chain:
        class Context(BaseModel):
            number: int = 0

        @step(start=True)
        def add_one(self):
            context = get_context()
            context.number += 1
            return complete() if context.number == STEPS else goto(self.add_one)


def work(count: int) -> int:
    from automation.workflows.core import engine
    from automation.workflows.models import WorkflowRun

    runs = [engine.start("chain").id for _ in range(count)]
    done = WorkflowRun.objects.filter(pk__in=runs, status="completed").values_list("data", flat=True)
    return sum(data["number"] for data in done)


if __name__ == "__main__":
    start("workflows", "automation.workflows")
    declare()
    measure(work)
