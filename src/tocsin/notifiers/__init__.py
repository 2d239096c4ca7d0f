"""Notification channels: the registry of their kinds, and `send`."""
