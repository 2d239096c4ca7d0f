"""A step of a transaction: what is asked, what must hold, what is kept; and how it is told."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from tocsin.checks._variables import name_problems as variable_names
from tocsin.checks._variables import secret_host_problems, unknown_problems, url_problems
from tocsin.core.assertion_terms import check_assertions
from tocsin.core.capture import Capture
from tocsin.core.header import is_name, is_value
from tocsin.core.monitor import Assertion
from tocsin.core.plain import found, join
from tocsin.core.result import Observation
from tocsin.core.shape import Help, Length, Pattern, Private
from tocsin.core.variables import named
from tocsin.errors import Invalid, Problem

OFFERS = (
    "status_code", "header", "body", "json_path", "json_schema", "response_time_ms", "body_bytes", "certificate_days",
)  # fmt: skip
"""What a step can be asked to meet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One request, what must hold of its answer, and what is kept of it."""

    name: Annotated[str, Length(0, 60), Pattern(r"[^\x00-\x1f\x7f-\x9f]*", "a name on one line"), Help("Name")] = ""
    url: Annotated[str, Private, Length(1, 8192), Help("The http or https URL; {{name}} stands for a variable")]
    method: Annotated[
        str, Pattern(r"[A-Z][A-Z-]{0,30}", "a method in capitals, such as GET"), Help("Request method")
    ] = "GET"
    headers: Annotated[dict[str, str], Length(0, 100), Private, Help("Request headers, with variables")] = field(
        default_factory=dict[str, str]
    )
    body: Annotated[str | None, Private, Length(0, 65_536), Help("Request body, with variables")] = None
    follow_redirects: Annotated[bool, Help("Follow redirects, at most 10")] = True
    assertions: Annotated[tuple[Assertion, ...], Length(0, 50), Help("What must hold; else a status of 200-299")] = ()
    capture: Annotated[dict[str, Capture], Length(0, 20), Help("Variables taken from the answer")] = field(
        default_factory=dict[str, Capture]
    )
    always: Annotated[bool, Help("Run at the end, also when a step failed (cleaning up)")] = False
    on_fail: Annotated[Literal["down", "degrade"] | None, Help("What it means when an always step fails: degrade")] = (
        None
    )

    def __post_init__(self) -> None:
        """What the marks cannot say. Raises Invalid."""
        problems = [*url_problems(self.url)]
        problems += [
            Problem("headers", "names of letters, digits and -, values of one line", found(name))
            for name, value in self.headers.items()
            if not (is_name(name) and is_value(value))
        ]
        problems += variable_names("capture", self.capture)
        if self.on_fail is not None and not self.always:
            problems.append(Problem("on_fail", "nothing, as the step does not always run", found(self.on_fail)))
        try:
            check_assertions(self.assertions, offered=OFFERS, check_type="transaction")
        except Invalid as error:
            problems += error.problems
        if problems:
            raise Invalid(*problems)

    def texts(self) -> Iterator[tuple[str, str]]:
        """(field, text) of everything that may hold variables."""
        yield "url", self.url
        for name, value in self.headers.items():
            yield join("headers", name), value
        if self.body is not None:
            yield "body", self.body

    def names(self) -> set[str]:
        """The variables it needs."""
        return {name for _, text in self.texts() for name in named(text)}


def order_problems(steps: Sequence[Step]) -> list[Problem]:
    """What is wrong with the order of the steps."""
    if all(step.always for step in steps):
        return [Problem("steps", "at least one step that does not always run", f"{len(steps)} that do")]
    ends = [i for i, step in enumerate(steps) if not step.always][-1]
    return [
        Problem(f"steps[{i}].always", "steps that always run to stand after all others", "one before them")
        for i, step in enumerate(steps[:ends])
        if step.always
    ]


def name_problems(step: Step, known: set[str], secrets: Container[str]) -> list[Problem]:
    """What is wrong with the variables a step names; `known` are those that may have a value by then."""
    problems = unknown_problems(step.texts(), known) + secret_host_problems(step.url, secrets)
    return problems + [
        Problem(join("capture", name), "a name that is not one of the secrets", found(name))
        for name in step.capture
        if name in secrets
    ]


def told(step: Step, number: int) -> str:
    """How people know a step: "step 2 'log in'"."""
    return f"step {number}" + (f" {step.name!r}" if step.name else "")


def facts_of(step: Step, number: int, seen: Observation | None) -> dict[str, Any]:
    """A step as the facts show it: name, status code, time and its phases in ms."""
    shown: dict[str, Any] = {"name": step.name or f"step {number}"}
    if seen is None:
        return shown
    timing = seen.timing
    phases = {n: v for n in ("dns", "connect", "tls", "ttfb", "transfer") if (v := getattr(timing, n)) is not None}
    return shown | {
        "status_code": seen.status_code,
        "ms": None if timing.total is None else round(timing.total, 3),
        "phases": {n: round(v, 3) for n, v in phases.items()},
    }
