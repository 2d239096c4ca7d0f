"""Which tables this program has."""

HEAD = "0004"
"""The migration they are at."""
