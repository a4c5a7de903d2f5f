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
    "signals_that_are_settled_together_get_their_positions_in_the_order_given",
    "who_locks_a_name_second_waits_and_sees_what_the_first_committed",
)
class NeverEndsADelivery(MemoryMailbox):
    def settle(self, signals, *, finished):
        return super().settle(signals, finished=False)


@mailbox(
    "a_position_is_not_allotted_again_to_who_read_the_signal_before",
    "an_unfinished_delivery_keeps_its_position_and_its_place",
    "positions_are_in_the_order_of_commits",
    "positions_grow_over_all_names",
    "signals_that_are_settled_together_get_their_positions_in_the_order_given",
)
class CountsEachNameAlone(MemoryMailbox):
    def settle(self, signals, *, finished):
        settled = super().settle(signals, finished=finished)
        with self._transaction() as open_:
            own = dict.fromkeys((signal.name for signal in signals), 0)
            for each in open_.tables.signals.values():
                own[each.name] = own.get(each.name, 0) + bool(each.position)
            counted = []
            for each in settled:
                own[each.name] += 1
                counted.append(replace(each, position=own[each.name]))
                open_.changes.signals[each.id] = counted[-1]
            return counted


@mailbox(
    "a_wait_sees_a_signal_whose_delivery_has_begun",
    "an_unfinished_delivery_keeps_its_position_and_its_place",
    "signals_that_are_settled_together_get_their_positions_in_the_order_given",
)
class AllotsThePositionAtTheEnd(MemoryMailbox):
    def settle(self, signals, *, finished):
        return super().settle(signals, finished=finished) if finished else signals


@mailbox(
    "a_position_is_not_allotted_again_to_who_read_the_signal_before",
    "signals_that_are_settled_together_get_their_positions_in_the_order_given",
)
class AllotsThePositionAgain(MemoryMailbox):
    def settle(self, signals, *, finished):
        with self._transaction() as open_:
            for signal in signals:
                stored = open_.signal(signal.id)
                if stored is not None and stored.position is not None and signal.position is None:
                    open_.changes.signals[signal.id] = signal
        return super().settle(signals, finished=finished)


@mailbox(
    "a_finished_delivery_is_not_reopened_by_who_read_the_signal_before",
)
class ReopensADelivery(MemoryMailbox):
    def settle(self, signals, *, finished):
        with self._transaction() as open_:
            for signal in [] if finished else signals:
                open_.tables.undelivered.setdefault(signal.id)
        return super().settle(signals, finished=finished)


@mailbox(
    "a_position_goes_with_the_transaction_that_allotted_it",
)
class KeepsPositionsOfWhatWasUndone(MemoryMailbox):
    def settle(self, signals, *, finished):
        settled = super().settle(signals, finished=finished)
        with self._transaction() as open_:
            open_.tables.position = open_.changes.position or open_.tables.position
        return settled


@mailbox(
    "positions_are_in_the_order_of_commits",
)
class AllotsPositionsBeforeOthersCommit(MemoryMailbox):
    def settle(self, signals, *, finished):
        with self._transaction() as open_:
            for signal in signals:
                stored = open_.signal(signal.id)
                if stored.position is None:
                    open_.changes.position = open_.position() + 1
                    open_.changes.signals[signal.id] = replace(stored, position=open_.changes.position)
            return super().settle(signals, finished=finished)


@mailbox(
    "signals_that_are_settled_together_get_their_positions_in_the_order_given",
)
class AllotsFromTheLastOn(MemoryMailbox):
    def settle(self, signals, *, finished):
        settled = super().settle(signals[::-1], finished=finished)
        by_id = {signal.id: signal for signal in settled}
        return [by_id[signal.id] for signal in signals]
