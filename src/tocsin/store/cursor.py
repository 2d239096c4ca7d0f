"""Cursors of lists: opaque to the caller, a place in an order to us."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec

from tocsin.errors import Invalid, Problem


def write_cursor(*place: str | int) -> str:
    """The cursor of a place (the sort key of the last row shown)."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def read_cursor(cursor: str, *types: type) -> tuple[Any, ...]:
    """The place again. Raises Invalid when it is none of ours."""
    try:
        place = msgspec.json.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, msgspec.DecodeError, ValueError):
        place = None
    fits = isinstance(place, list) and len(place) == len(types) and all(map(_is, place, types))  # pyright: ignore[reportUnknownArgumentType]
    if not fits:
        raise Invalid(Problem("cursor", "a next_cursor of this list", repr(cursor)[:40]))
    return tuple(place)  # pyright: ignore[reportUnknownArgumentType, reportArgumentType]


def _is(value: object, wanted: type) -> bool:
    return type(value) is wanted and (wanted is not int or -(2**63) <= value < 2**63)  # pyright: ignore[reportOperatorIssue]
