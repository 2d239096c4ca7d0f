"""The places of TOCSIN_ANCHORS, read before anything is made."""

from __future__ import annotations

from tocsin.checks import Order
from tocsin.errors import Invalid, SettingsError
from tocsin.location.self_test import read_anchors
from tocsin.settings import Settings


def anchors_of(settings: Settings) -> list[Order]:
    """The checks of the places that should always answer. Raises SettingsError naming the one that is none."""
    try:
        return read_anchors(settings["ANCHORS"])
    except Invalid as error:
        raise SettingsError(f"TOCSIN_ANCHORS: {error}") from None
