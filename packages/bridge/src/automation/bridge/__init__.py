"""Starts and wakes workflows from model events. Add `automation.bridge` to INSTALLED_APPS; there is nothing to call."""
