"""Waits that come after their signal and get none, or another one."""

from dataclasses import replace

from automation.workflows.engine.memory.mailbox import MemoryMailbox
from automation.workflows.runs.matching import matches
from tests.broken.storages.intact import mailbox


class Matching(MemoryMailbox):
    """Finds by looking at every signal: what may be looked at, by whom, and in which order is said by itself."""

    def looked_at(self, open_):
        return [signal for signal in open_.tables.signals.values() if signal.position is not None]

    def is_for(self, run_id, signal):
        return signal.run_id in {None, run_id}

    def is_unheard(self, open_, run_id, signal):
        return not open_.has_consumed(run_id, signal.id)

    def ends(self, signal, wait):
        return matches(signal, wait)

    def order(self, signal):
        return signal.position

    def matching(self, run_id, wait, *, limit=None):
        with self._transaction() as open_:
            seen = [signal for signal in self.looked_at(open_) if self.is_for(run_id, signal)]
            unheard = [signal for signal in seen if self.is_unheard(open_, run_id, signal)]
            found = [signal for signal in unheard if self.ends(signal, wait)]
        return sorted(found, key=self.order)[:limit]


@mailbox(
    "a_signal_for_one_run_ends_no_wait_of_another",
    "both_sides_agree_with_the_rule_for_waits",
)
class AcceptsNothing(Matching):
    def ends(self, signal, wait):
        return wait.accept is None and super().ends(signal, wait)


@mailbox(
    "a_signal_for_one_run_ends_no_wait_of_another",
    "a_wait_gets_all_that_end_it_at_once_in_order",
)
class ListensToSignalsForOthers(Matching):
    def is_for(self, run_id, signal):
        return True


@mailbox(
    "both_sides_agree_with_the_guards_of_a_wait",
)
class IgnoresWhatARunHasTold(Matching):
    def ends(self, signal, wait):
        return super().ends(signal, replace(wait, run_after=0))


@mailbox(
    "a_wait_sees_no_signal_that_is_not_delivered",
)
class SeesWhatIsNotDelivered(Matching):
    def looked_at(self, open_):
        return open_.tables.signals.values()

    def ends(self, signal, wait):
        return super().ends(signal if signal.position else replace(signal, position=1), wait)

    def order(self, signal):
        return signal.position or 0


@mailbox(
    "a_wait_sees_a_signal_whose_delivery_has_begun",
)
class SeesOnlyWhatIsDeliveredToAll(Matching):
    def looked_at(self, open_):
        return [signal for signal in super().looked_at(open_) if signal.id not in open_.tables.undelivered]


@mailbox(
    "a_wait_gets_the_first_by_position_not_by_sending",
)
class WakesBySending(Matching):
    def looked_at(self, open_):
        self.sent = list(open_.tables.signals)
        return super().looked_at(open_)

    def order(self, signal):
        return self.sent.index(signal.id)


@mailbox(
    "a_wait_gets_addressed_signals_and_broadcasts_in_one_order",
)
class PrefersWhatIsAddressed(Matching):
    def order(self, signal):
        return signal.run_id is None, signal.position


@mailbox(
    "a_wait_finds_its_signal_behind_many_that_are_not_for_it",
    "a_wait_gets_all_that_end_it_at_once_in_order",
)
class LooksAtAHundredSignals(Matching):
    def looked_at(self, open_):
        return super().looked_at(open_)[:100]


@mailbox(
    "a_wait_does_not_get_a_signal_that_the_run_has_consumed",
    "a_wait_gets_addressed_signals_and_broadcasts_in_one_order",
    "a_wait_gets_all_that_end_it_at_once_in_order",
    "both_sides_agree_with_the_rule_for_waits",
)
class ForgetsWhatWasConsumed(Matching):
    def is_unheard(self, open_, run_id, signal):
        return True


@mailbox(
    "a_wait_gets_all_that_end_it_at_once_in_order",
)
class GivesTheFirstAlone(Matching):
    def matching(self, run_id, wait, *, limit=None):
        return super().matching(run_id, wait, limit=1)
