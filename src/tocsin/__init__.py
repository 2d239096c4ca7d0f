"""Tocsin watches websites, services and servers and tells the right person when they fail."""

__version__ = "0.1.0"
