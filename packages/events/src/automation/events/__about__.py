"""The version of this distribution, read by its build."""

__version__ = "0.1.0"
