"""Which tables this program has."""

HEAD = "0007"
"""The migration they are at."""
