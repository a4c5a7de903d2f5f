"""What every entrant shares: a fresh PostgreSQL database, and one line of JSON with what was measured."""

import argparse
import json
import os
import time
from collections.abc import Callable

import psycopg

__all__ = ["HOST", "USER", "fresh_database", "measure"]

HOST = os.environ.get("AUTOMATION_TEST_HOST", "127.0.0.1")
USER = os.environ.get("AUTOMATION_TEST_USER", "postgres")


def fresh_database(name: str) -> str:
    """Drop and create the database; return its name."""
    with psycopg.connect(host=HOST, user=USER, dbname="postgres", autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        connection.execute(f'CREATE DATABASE "{name}"')
    return name


def measure(work: Callable[[int], int]) -> None:
    """Do a little of the work unmeasured, then `--count` of it, and print the seconds per unit that `work` reports.

    `work(count)` does the work and gives how many units that was, so that nobody is timed for work that it left out.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, required=True)
    count = parser.parse_args().count
    work(3)
    began = time.perf_counter()
    units = work(count)
    print(json.dumps({"seconds_per_unit": (time.perf_counter() - began) / units, "units": units}))
