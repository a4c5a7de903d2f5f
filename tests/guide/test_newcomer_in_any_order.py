"""The newcomer's tests of every kind, in shuffled order and on four workers at once."""

import os
import re
import subprocess
import sys

import pytest

from tests.docs.pages import ROOT

TESTS = ("tests/guide/test_newcomer.py", "tests/guide/test_newcomer_everywhere.py")
SEED = ("sqlite", "postgres", "mariadb").index(os.environ.get("AUTOMATION_TEST_DATABASE", "sqlite"))
"""Another order on each database; all the rest of this suite is shuffled by a seed of its own in each run."""
SEEDS = range(SEED, SEED + 30, 3) if os.environ.get("AUTOMATION_LONG") == "1" else [SEED]


@pytest.mark.parametrize("seed", SEEDS)
def test_they_pass_in_any_order_and_in_parallel(seed: int):
    done = subprocess.run(
        # Tables are made from the models: it is the tests that are tried here, not the migrations.
        [sys.executable, "-m", "pytest", "-q", "-n", "4", f"--randomly-seed={seed}", "--nomigrations", *TESTS],
        cwd=ROOT,
        env={**os.environ, "AUTOMATION_TEST_SUFFIX": os.environ.get("AUTOMATION_TEST_SUFFIX", "") + "_order"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )

    # Four tests; four times as functions, with a queue or without, with commits or without; and as often in test cases.
    assert re.search(rf"^{4 + 4 * 4 + 4 * 4} passed", done.stdout, re.MULTILINE), done.stdout + done.stderr
