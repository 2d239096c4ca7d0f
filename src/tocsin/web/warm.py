"""Loads what a start does without, for the sake of the first visitor."""

from __future__ import annotations

from importlib import import_module

from tocsin.web.pages.view import templates

PAGES = ("login.html", "setup.html", "overview.html", "monitor.html", "incident.html")
"""The pages that are opened first: after an installation, and at 3 a.m."""


def warm() -> None:
    """Import what signs tokens, and compile the first pages. Takes a third of a second: for a thread."""
    import_module("joserfc.jwt")
    for name in PAGES:
        templates().get_template(name)
