"""The list of mutants fits the source, and, in the long form, every one of them is killed."""

import os

import pytest

from tests.simulation.mutants import MUTANTS, PACKAGE, Mutant, killer


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_fits_the_source_in_one_place(mutant: Mutant) -> None:
    source = (PACKAGE / mutant.file).read_text()

    assert source.count(mutant.before) == 1
    compile(source.replace(mutant.before, mutant.after), mutant.file, "exec")


def test_no_two_mutants_are_the_same() -> None:
    assert len({(mutant.file, mutant.before, mutant.after) for mutant in MUTANTS}) == len(MUTANTS)


if os.environ.get("AUTOMATION_LONG"):

    @pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
    def test_a_mutant_is_killed(mutant: Mutant) -> None:
        assert killer(mutant) is not None
