"""Cursors of lists: opaque to the caller, a place in an order to us."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

import msgspec

from tocsin.core.plain import found
from tocsin.errors import Invalid, Problem


def write_cursor(*place: str | int) -> str:
    """The cursor of a place (the sort key of the last row shown)."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def read_cursor(cursor: str, *types: type) -> tuple[Any, ...]:
    """The place again. Raises Invalid when it is none of ours."""
    try:
        place: Any = msgspec.json.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, msgspec.DecodeError, ValueError, RecursionError):
        place = None
    if not _fits(place, types):
        raise Invalid(Problem("cursor", "a next_cursor of this list", found(cursor)))
    return tuple(place)


def _fits(place: Any, types: Sequence[type]) -> bool:
    if not isinstance(place, list) or len(place) != len(types):  # pyright: ignore[reportUnknownArgumentType]
        return False
    return all(type(v) is t and (t is not int or abs(v) < 2**63) for v, t in zip(place, types, strict=True))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
