"""Durable workflows. The names to import live in `automation.workflows.core`; this module imports nothing."""
