"""A pause of a running run: the step ends as it would, and the run lands in PAUSED with its target kept."""

from dataclasses import replace
from datetime import datetime

from automation.workflows.runs.causes import PauseRequested
from automation.workflows.runs.decide import decide
from automation.workflows.runs.transition import Transition, fold
from automation.workflows.runs.visits import AFTER_THE_STEP

__all__ = ["held_after"]


def held_after(move: Transition, now: datetime) -> Transition:
    """Return the move that ends a step, into PAUSED where somebody has asked for that. What has ended stays ended."""
    if not move.before.pause_requested or move.after.status.is_terminal:
        return move
    pause = PauseRequested(reason=move.before.why.removesuffix(AFTER_THE_STEP))
    return fold(move, decide(replace(move.after, pause_requested=False), pause, None, now))
