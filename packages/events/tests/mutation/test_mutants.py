"""The list of mutants fits the source, and, in the long form, every one of them is killed."""

import os

import pytest

from tests.mutation.mutants import HERE, MUTANTS, PACKAGE, killer


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_fits_the_source_in_one_place(mutant):
    source = (PACKAGE / mutant.file).read_text()

    assert source.count(mutant.before) == 1
    compile(source.replace(mutant.before, mutant.after), mutant.file, "exec")
    assert all((HERE / "tests" / judge).exists() for judge in mutant.judges)


def test_no_two_mutants_are_the_same():
    assert len({(mutant.file, mutant.before, mutant.after) for mutant in MUTANTS}) == len(MUTANTS)


if os.environ.get("AUTOMATION_LONG") == "1":

    @pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
    def test_mutant_is_killed(mutant):
        assert killer(mutant) is not None
