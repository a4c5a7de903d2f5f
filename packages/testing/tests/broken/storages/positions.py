"""Deliveries that lose, repeat or misplace their position."""

from dataclasses import replace

from automation.workflows.engine.memory.mailbox import MemoryMailbox
from tests.broken.storages.intact import mailbox


@mailbox(
    "a_position_goes_with_the_transaction_that_allotted_it",
    "the_position_is_nought_before_any_delivery",
)
class CountsFromOne(MemoryMailbox):
    def position(self):
        return super().position() or 1


@mailbox(
    "a_finished_delivery_is_not_reopened_by_who_read_the_signal_before",
    "a_signal_posted_twice_is_stored_once",
    "an_unfinished_delivery_keeps_its_position_and_its_place",
    "settling_allots_a_position_and_ends_the_delivery",
    "who_locks_a_name_second_waits_and_sees_what_the_first_committed",
)
class NeverEndsADelivery(MemoryMailbox):
    def settle(self, signal, *, finished):
        return super().settle(signal, finished=False)


@mailbox(
    "a_position_is_not_allotted_again_to_who_read_the_signal_before",
    "an_unfinished_delivery_keeps_its_position_and_its_place",
    "positions_are_in_the_order_of_commits",
    "positions_grow_over_all_names",
)
class CountsEachNameAlone(MemoryMailbox):
    def settle(self, signal, *, finished):
        settled = super().settle(signal, finished=finished)
        with self._transaction() as open_:
            own = [each for each in open_.tables.signals.values() if each.name == signal.name and each.position]
            counted = replace(settled, position=len(own) + 1)
            open_.changes.signals[signal.id] = counted
            return counted


@mailbox(
    "a_wait_sees_a_signal_whose_delivery_has_begun",
    "an_unfinished_delivery_keeps_its_position_and_its_place",
)
class AllotsThePositionAtTheEnd(MemoryMailbox):
    def settle(self, signal, *, finished):
        return super().settle(signal, finished=finished) if finished else signal


@mailbox(
    "a_position_is_not_allotted_again_to_who_read_the_signal_before",
)
class AllotsThePositionAgain(MemoryMailbox):
    def settle(self, signal, *, finished):
        with self._transaction() as open_:
            stored = open_.signal(signal.id)
            if stored is not None and stored.position is not None and signal.position is None:
                open_.changes.signals[signal.id] = signal
        return super().settle(signal, finished=finished)


@mailbox(
    "a_finished_delivery_is_not_reopened_by_who_read_the_signal_before",
)
class ReopensADelivery(MemoryMailbox):
    def settle(self, signal, *, finished):
        with self._transaction() as open_:
            if not finished:
                open_.tables.undelivered.setdefault(signal.id)
        return super().settle(signal, finished=finished)


@mailbox(
    "a_position_goes_with_the_transaction_that_allotted_it",
)
class KeepsPositionsOfWhatWasUndone(MemoryMailbox):
    def settle(self, signal, *, finished):
        settled = super().settle(signal, finished=finished)
        with self._transaction() as open_:
            open_.tables.position = open_.changes.position or open_.tables.position
        return settled


@mailbox(
    "positions_are_in_the_order_of_commits",
)
class AllotsPositionsBeforeOthersCommit(MemoryMailbox):
    def settle(self, signal, *, finished):
        with self._transaction() as open_:
            stored = open_.signal(signal.id)
            if stored.position is None:
                open_.changes.position = open_.position() + 1
                open_.changes.signals[signal.id] = replace(stored, position=open_.changes.position)
            return super().settle(signal, finished=finished)
