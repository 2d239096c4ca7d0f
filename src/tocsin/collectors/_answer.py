"""What collectors that ask a server share: numbers and texts out of its answer, and what is said of one that is away."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from tocsin.core.plain import clip, without_control
from tocsin.core.sample import MAX_SERIES, Reading, Service, series
from tocsin.errors import CheckFailed, CheckInvalid, EgressRefused

MOST_LABEL = 60
_AWAY = (CheckFailed, OSError)
"""What a server that is not well makes; CheckInvalid and EgressRefused are troubles of our own."""


def number(value: object) -> float | None:
    """The value when it is a number that can be kept, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) and abs(value) < 1e18 else None
    except OverflowError:
        return None


def word(value: object, most: int = 100) -> str:
    """The value when it is text, short and fit to be shown; else nothing."""
    return clip(without_control(value).strip(), most) if isinstance(value, str) else ""


def labelled(made: dict[str, float], metric: str, value: object, **labels: str) -> None:
    """Add a series, when the value is a number."""
    figure = number(value)
    if figure is None:
        return
    cut = {name: text[:MOST_LABEL] for name, text in labels.items()}
    try:
        made[series(metric, **cut)] = figure
    except ValueError:  # labels of letters that take much room
        made[series(metric, **{name: text[: MAX_SERIES // 20] for name, text in cut.items()})] = figure


async def asked(
    kind: str,
    name: str,
    timeout_s: float,
    look: Callable[[], Awaitable[Reading]],
    facts: Mapping[str, Any] | None = None,
) -> Reading:
    """What looking gave; of a server that does not answer as it should, that it is so, as a service that is not well: a
    rule fires for it, and the reading's trouble says why nothing else is known."""
    try:
        async with asyncio.timeout(timeout_s):
            return await look()
    except TimeoutError:
        why = f"no answer within {timeout_s:g} s"
    except (CheckInvalid, EgressRefused):
        raise
    except _AWAY as error:
        why = clip(str(error) or type(error).__name__, 300)
    away = Service(kind=kind, name=name[:200], state="does not answer", ok=False, detail=why, facts=dict(facts or {}))
    return Reading(services=(away,), trouble=clip(f"{name}: {why}", 400))
