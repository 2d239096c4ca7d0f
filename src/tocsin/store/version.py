"""Which tables this program has."""

HEAD = "0008"
"""The migration they are at."""
