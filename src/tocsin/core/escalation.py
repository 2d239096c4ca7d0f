"""Escalation policies: whom else to tell, and when, until somebody acknowledges."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated

from msgspec import Struct

from tocsin.core.marks import Help, Length, Name, Range


class EscalationStep(Struct, frozen=True, kw_only=True):
    """Told `delay_s` after the opening (the first step) or after the step before, unless somebody acknowledged."""

    delay_s: Annotated[int, Range(0, 7 * 86_400), Help("seconds after the opening, or after the step before")]
    channels: Annotated[tuple[str, ...], Length(0, 20), Help("ids of channels")] = ()
    people: Annotated[tuple[str, ...], Length(0, 50), Help("ids of members")] = ()
    schedules: Annotated[tuple[str, ...], Length(0, 20), Help("ids of on-call schedules")] = ()


class Reach(Struct, frozen=True, kw_only=True):
    """Whom a step tells at a moment: ids of channels (a person is one too) and what people call them. `lacks` says in
    words what of the step reaches nobody then; `vain` are ids that are sent it all the same, so that the log and a notice
    say why it did not arrive."""

    ids: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    vain: tuple[str, ...] = ()


class EscalationPolicy(Struct, frozen=True, kw_only=True):
    """Steps in their order, gone through `repeat` times more when nobody acknowledges."""

    id: str
    workspace_id: str
    name: Name
    steps: tuple[EscalationStep, ...]
    repeat: int = 0
    created_at: datetime
    updated_at: datetime
    version: int = 1


def next_step_at(policy: EscalationPolicy, told: int, since: datetime) -> datetime | None:
    """When the step after the first `told` ones is due, counted from `since` (the opening, or the step before); None
    when all of them, repetitions included, were told."""
    if not policy.steps or told >= len(policy.steps) * (1 + policy.repeat):
        return None
    return since + timedelta(seconds=policy.steps[told % len(policy.steps)].delay_s)


def reach_of(reach: Sequence[Reach], number: int) -> Reach | None:
    """Whom the step that is told as the `number`-th (from 1) reaches, repetitions counted on; None when that is not
    known."""
    return reach[(number - 1) % len(reach)] if reach else None


def gives_way(policy: EscalationPolicy, reach: Sequence[Reach], number: int) -> bool:
    """Whether the step after the `number`-th follows at once: that one reached nobody, and is not the last of its round
    (a repetition waits for its delay, or a night without anybody on duty would use up all of them)."""
    found = reach_of(reach, number)
    return found is not None and not found.ids and number % len(policy.steps) != 0
