"""Declare events on Django models; react to them exactly once.

The names a project needs are in `definitions`, `callbacks`, `models` and `services`; only `muted` lives up here.
"""

from automation.events.muting import muted

__all__ = ["muted"]
