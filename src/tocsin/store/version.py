"""Which tables this program has."""

HEAD = "0006"
"""The migration they are at."""
