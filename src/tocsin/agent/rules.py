"""Which rules hold on this host: those of its collectors, those the server sets, those of its own file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from tocsin import collectors
from tocsin.core import shape
from tocsin.core.host_rule import HostRule, OnSample, OnService, wrong_limits
from tocsin.core.marks import Help, Length, Name, Range
from tocsin.core.plain import as_map, found, join
from tocsin.errors import Invalid, NotFound, Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """An entry of `rules`: a limit of a metric, a service that has to be well, or what is to change of a built-in one."""

    name: Annotated[str | None, Name, Length(1, 100), Help("what it is called")] = None
    builtin: Annotated[str | None, Length(1, 100), Help("the built-in rule this changes, such as system.disk")] = None
    enabled: Annotated[bool, Help("false switches it off")] = True
    metric: Annotated[str | None, Length(1, 100), Help("the metric, such as disk.used_percent")] = None
    labels: Annotated[dict[str, str] | None, Length(0, 20), Help("patterns with * for its labels")] = None
    above: Annotated[float | None, Help("trouble when it is above")] = None
    below: Annotated[float | None, Help("trouble when it is below")] = None
    clear: Annotated[float | None, Help("where it is over again")] = None
    service: Annotated[str | None, Length(3, 241), Help("kind/name of services that have to be well, with *")] = None
    for_s: Annotated[float | None, Range(0, 86_400), Help("so long it must hold")] = None
    recovery: Annotated[float | None, Range(0, 86_400), Help("so long it must be over")] = None
    severity: Literal["critical", "down", "warning", "info"] | None = None
    direct: Annotated[bool | None, Help("tell at once, without waiting for the server")] = None
    channels: Annotated[list[Annotated[str, Length(1, 100)]] | None, Length(0, 20)] = None

    def __post_init__(self) -> None:
        problem = self._problem()
        if problem is not None:
            raise Invalid(problem)

    def _problem(self) -> Problem | None:
        if (self.name is None) == (self.builtin is None):
            return Problem(
                "name", "a name, or else builtin: and the rule to change", "both" if self.name else "neither"
            )
        if self.builtin is not None:
            wrong = "metric" if self.metric is not None else "service" if self.service is not None else ""
            return Problem(wrong, "nothing: a built-in rule keeps what it is about", "a value") if wrong else None
        if (self.metric is None) == (self.service is None):
            return Problem("metric", "a metric, or else a service", "both" if self.metric else "neither")
        if self.metric is not None and self.above is None and self.below is None:
            return Problem("above", "a limit: above or below", "nothing")
        if self.service is not None and not all(self.service.partition("/")):
            return Problem("service", "kind/name, such as unit/nginx.service or */web*", found(self.service))
        return None


class LocalRule(Struct, frozen=True, kw_only=True):
    """An entry of the file. `channels`: ids by now."""

    line: Line
    channels: tuple[str, ...] | None = None

    @property
    def id(self) -> str:
        return f"local:{self.line.name}" if self.line.builtin is None else f"builtin:{self.line.builtin}"


def read_rules(
    lines: Sequence[Any], channels: Mapping[str, str], problems: list[Problem], *, from_afar: bool = False
) -> tuple[LocalRule, ...]:
    """The entries; what is wrong goes into `problems`. `channels`: the ids of those of the file by their names. `from_afar`:
    they come from the server, and may only change built-in rules."""
    made: dict[str, LocalRule] = {}
    for i, line in enumerate(lines):
        where = f"rules[{i}]"
        entries = as_map(line)
        if entries is None:
            problems.append(Problem(where, "an object with a name and a limit", found(line)))
            continue
        try:
            read = shape.read(Line, {"for_s" if k == "for" else k: v for k, v in entries.items()}, where=where)
        except Invalid as error:
            problems += [Problem(p.field.replace(".for_s", ".for"), p.expected, p.found) for p in error.problems]
            continue
        named = None if read.channels is None else tuple(channels.get(name, name) for name in read.channels)
        rule = LocalRule(line=read, channels=named)
        if (wrong := _wrong_limits(rule) or (_wrong_from_afar(read) if from_afar else None)) is not None:
            problems.append(Problem(join(where, wrong.field), wrong.expected, wrong.found))
        if rule.id in made:
            problems.append(Problem(join(where, "name"), "a name of its own", found(read.name or read.builtin)))
        made[rule.id] = rule
    return tuple(made.values())


def _wrong_limits(one: LocalRule) -> Problem | None:
    """What is wrong with the limits of an entry; of one that changes a built-in rule, with what comes of it."""
    if one.line.builtin is None:
        return wrong_limits(_new(one).condition)
    before = builtin_rule(one.line.builtin)
    return None if before is None else wrong_limits(_changed(before, one).condition)


def _wrong_from_afar(line: Line) -> Problem | None:
    if line.builtin is None:
        return Problem("builtin", "the built-in rule to change, such as system.disk (others are alert rules)", "none")
    if line.channels is not None:
        return Problem("channels", "nothing: who is told is set in the agent's own file", "a list")
    kind = line.builtin.partition(".")[0]
    names = _builtin_names(kind)
    if kind in collectors.names() and (names is None or line.builtin in names):
        return None
    return Problem("builtin", f"one of {', '.join(names or collectors.names())}", found(line.builtin))


def _builtin_names(kind: str) -> list[str] | None:
    """The built-in rules of a collector; None where it needs a library that only agents have, or there is none such."""
    try:
        return [rule.id.removeprefix("builtin:") for rule in collectors.kind(kind).rules]
    except (ImportError, NotFound):
        return None


def builtin_rule(name: str) -> HostRule | None:
    """The rule of that name (such as system.disk) that a collector brings along."""
    kind = name.partition(".")[0]
    known = collectors.kind(kind).rules if _builtin_names(kind) else ()
    return next((rule for rule in known if rule.id == f"builtin:{name}"), None)


def rules_of(
    builtin: Iterable[HostRule],
    server: Iterable[HostRule],
    local: Sequence[LocalRule],
    changes: Iterable[LocalRule] = (),
) -> list[HostRule]:
    """The rules that hold: one of the server's takes the place of a built-in of the same id, `changes` are what the server
    changes of those, and the file has the last word."""
    made = {rule.id: rule for rule in (*builtin, *server)}
    named = {one.id for one in local}
    for one in (*(one for one in changes if one.id not in named), *local):
        before = made.get(one.id)
        if not one.line.enabled:
            made.pop(one.id, None)
        elif one.line.builtin is None:
            made[one.id] = _new(one)
        elif before is not None:
            made[one.id] = _changed(before, one)
    return list(made.values())


def unknown_builtins(known: Iterable[HostRule], local: Iterable[LocalRule]) -> list[str]:
    """The built-in rules that the file changes and no collector has."""
    ids = {rule.id for rule in known}
    return [one.line.builtin for one in local if one.line.builtin is not None and one.id not in ids]


def _new(one: LocalRule) -> HostRule:
    line = one.line
    condition: OnSample | OnService
    if line.metric is not None:
        condition = OnSample(
            metric=line.metric, labels=line.labels or {}, above=line.above, below=line.below, clear=line.clear
        )
    else:
        kind, _, name = (line.service or "").partition("/")
        condition = OnService(kind=kind, name=name)
    return HostRule(
        id=one.id, name=line.name or "", condition=condition, severity=line.severity or "warning",
        for_s=line.for_s or 0.0, recovery_s=line.recovery or 0.0, direct=bool(line.direct), channels=one.channels,
    )  # fmt: skip


def _changed(rule: HostRule, one: LocalRule) -> HostRule:
    line = one.line
    given: dict[str, Any] = {
        "severity": line.severity, "for_s": line.for_s, "recovery_s": line.recovery, "direct": line.direct,
        "channels": one.channels,
    }  # fmt: skip
    condition = rule.condition
    if isinstance(condition, OnSample):
        limits = {"labels": line.labels, "above": line.above, "below": line.below, "clear": line.clear}
        condition = replace(condition, **{k: v for k, v in limits.items() if v is not None})
        if line.clear is None and (line.above is not None or line.below is not None):
            condition = replace(condition, clear=None)  # the old way back belongs to the old limit
    return replace(rule, condition=condition, **{k: v for k, v in given.items() if v is not None})
