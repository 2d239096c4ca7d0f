"""Which tables this program has."""

HEAD = "0005"
"""The migration they are at."""
