"""DBOS: a workflow of ten steps, again and again, in one process."""

from dbos import DBOS
from stopwatch import HOST, USER, fresh_database, measure

STEPS = 10


@DBOS.step()
def add_one(number: int) -> int:
    return number + 1


@DBOS.workflow()
def chain() -> int:
    number = 0
    for _ in range(STEPS):
        number = add_one(number)
    return number


def work(count: int) -> int:
    return sum(chain() for _ in range(count))


if __name__ == "__main__":
    name = fresh_database("automation_bench_dbos")
    url = f"postgresql://{USER}@{HOST}/{name}"
    DBOS(config={"name": "bench", "system_database_url": url, "run_admin_server": False, "log_level": "WARNING"})
    DBOS.launch()
    measure(work)
    DBOS.destroy()
