"""A page walked through by a real browser: go there, click, fill in, see that what should be there is there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from tocsin.checks._terms import VerifyTls
from tocsin.checks._variables import Secrets, name_problems, secret_host_problems, unknown_problems, url_problems
from tocsin.core.plain import clip, found, quiet_url
from tocsin.core.result import Observation
from tocsin.core.shape import Example, Help, Length, Pattern, Private, Range
from tocsin.errors import Invalid, Problem
from tocsin.net import Local, Net

TITLE, SAYS = "Browser", "a page, clicked through"
START = {"interval_s": 300, "timeout_s": 45}  # a browser costs seconds to start

GRACE_S = 2.0  # the browser has a deadline of its own, and time to be ended

Do = Literal["goto", "click", "fill", "press", "wait_for", "expect_text", "expect_url", "expect_title"]
_PLACE = ("selector", "text", "role", "label")
# What each step needs, and what else it may have.
_NEEDS: dict[str, tuple[str, ...]] = {
    "goto": ("url",), "click": (), "fill": ("value",), "press": ("key",), "wait_for": (), "expect_text": ("value",),
    "expect_url": ("value",), "expect_title": ("value",),
}  # fmt: skip
_MAY: dict[str, tuple[str, ...]] = {
    "click": _PLACE, "fill": ("selector", "role", "label", "text"), "press": _PLACE, "wait_for": (*_PLACE, "url"),
    "expect_text": ("selector",),
}  # fmt: skip
_EXAMPLE = """[
 {"do": "goto", "url": "https://shop.example/login"},
 {"do": "fill", "label": "E-mail", "value": "probe@shop.example"},
 {"do": "fill", "selector": "#password", "value": "{{password}}"},
 {"do": "click", "role": "button", "text": "Log in"},
 {"do": "expect_url", "value": "/account"},
 {"do": "expect_text", "value": "Your orders"}
]"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing a person would do or see."""

    do: Annotated[Do, Help("What to do, or what to expect")]
    url: Annotated[str | None, Private, Length(1, 8192), Help("goto: where; wait_for: a part of the URL")] = None
    selector: Annotated[str | None, Length(1, 500), Help("A CSS selector; the first match counts")] = None
    text: Annotated[str | None, Length(1, 500), Help("A text on the page; with role: its accessible name")] = None
    role: Annotated[str | None, Pattern(r"[a-z]{1,30}", "an ARIA role such as button"), Help("An ARIA role")] = None
    label: Annotated[str | None, Length(1, 500), Help("The label of a field")] = None
    value: Annotated[str | None, Private, Length(0, 4096), Help("What to fill in, or a text to be found")] = None
    key: Annotated[str | None, Pattern(r"[A-Za-z0-9+]{1,40}", "a key such as Enter"), Help("The key to press")] = None

    def __post_init__(self) -> None:
        """What the marks cannot say. Raises Invalid."""
        needs, may = _NEEDS[self.do], _MAY.get(self.do, ())
        given = [n for n in ("url", *_PLACE, "value", "key") if getattr(self, n) is not None]
        problems = [Problem(n, f"something, as the step is {self.do}", "nothing") for n in needs if n not in given]
        problems += [
            Problem(n, f"nothing, as the step is {self.do}", found(getattr(self, n)) if n != "value" else "a value")
            for n in given
            if n not in needs and n not in may
        ]
        ways = [n for n in given if n in may and not (n == "text" and self.role is not None)]
        if not problems and len(ways) > 1:
            problems.append(Problem(ways[1], f"one way to find it, {ways[0]} alone", "two"))
        if not problems and not ways and self.do in ("click", "fill", "wait_for"):
            problems.append(Problem("selector", f"one of {', '.join(may)}", "none of them"))
        if self.do == "goto" and self.url is not None:
            problems += url_problems(self.url)
        if problems:
            raise Invalid(*problems)

    def texts(self) -> Iterator[tuple[str, str]]:
        """(field, text) of everything that may hold variables."""
        for name in ("url", "value"):
            if (text := getattr(self, name)) is not None:
                yield name, text


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A page walked through by a real browser, which the operator of this server has to switch on."""

    steps: Annotated[tuple[Step, ...], Length(1, 30), Example(_EXAMPLE), Help("What to do, in order; goto first")]
    secrets: Secrets = field(default_factory=dict[str, str])
    wait_s: Annotated[int | float, Range(0.1, 60), Help("How long a step waits for what it needs, seconds")] = 5
    verify_tls: VerifyTls = True
    width: Annotated[int, Range(320, 3840), Help("Width of the window")] = 1280
    height: Annotated[int, Range(240, 2160), Help("Height of the window")] = 720

    def __post_init__(self) -> None:
        """What the marks cannot say. Raises Invalid."""
        problems = name_problems("secrets", self.secrets)
        if self.steps[0].do != "goto":
            problems.append(Problem("steps[0].do", "goto, as there is no page yet", self.steps[0].do))
        for i, step in enumerate(self.steps):
            wrong = unknown_problems(step.texts(), self.secrets) + secret_host_problems(step.url or "", self.secrets)
            problems += [Problem(f"steps[{i}].{p.field}", p.expected, p.found) for p in wrong]
        if problems:
            raise Invalid(*problems)


def summary(target: Target) -> str:
    """The first page's URL without the values of its query, and how many steps there are."""
    more = len(target.steps) - 1
    return quiet_url(target.steps[0].url or "") + (f" and {more} more step{'s' if more > 1 else ''}" if more else "")


def told(step: Step) -> str:
    """A step in words: "click button 'Log in'"; never what was filled in."""
    words: list[Any] = [step.do.replace("_", " ")]
    if step.url is not None:
        words.append(clip(quiet_url(step.url), 100))
    words += [step.role] if step.role is not None else []
    words += [repr(clip(text)) for text in (step.selector, step.label, step.text) if text is not None]
    if step.value is not None and step.do != "fill":
        words.append(repr(clip(step.value)))
    words += [step.key] if step.key is not None else []
    return " ".join(words)


def missing(target: Target, local: Local) -> Problem | None:
    """What the operator has not switched on, or None."""
    if local.browser is not None:
        return None
    return Problem("steps", "a browser, which the operator of this server switches on by TOCSIN_BROWSER", "none")


async def check(target: Target, net: Net) -> Observation:
    """Walk through the page in a fresh browser."""
    from tocsin.checks._visit import visit  # for those who have a browser

    steps = [
        (told(step), {n: getattr(step, n) for n in ("do", "url", *_PLACE, "value", "key")}) for step in target.steps
    ]
    order = {
        "wait_s": target.wait_s,
        "verify_tls": target.verify_tls,
        "width": target.width,
        "height": target.height,
    }
    return await visit(steps, target.secrets, order, net)
