"""The engine: claim, invoke, decide, apply, enqueue."""
