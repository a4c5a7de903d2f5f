"""The life of a run, as values and pure functions."""
