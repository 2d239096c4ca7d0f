"""What kinds with variables ask of a Target: names that are known, and secrets that say nothing of where to go."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Annotated

from tocsin.core.plain import found, join
from tocsin.core.shape import Front, Help, Hidden, Length
from tocsin.core.variables import NAME, authority_of, fill, named
from tocsin.errors import Problem
from tocsin.net.url import parse

Secrets = Annotated[
    dict[str, Annotated[str, Length(4, 4096)]],
    Length(0, 20),
    Hidden,
    Front,
    Help("Variables that nobody sees again, such as a password"),
]


def url_problems(url: str) -> list[Problem]:
    """What is wrong with a URL before its variables have values; one that begins with a variable is judged later."""
    if url.startswith("{{") and named(url):
        return []
    why = ""
    for stand_in in ("1", "a"):  # for a port, for a name
        try:
            parse(fill(url, dict.fromkeys(named(url), stand_in)))
            return []
        except ValueError as error:
            why = str(error)
    return [Problem("url", "an http or https URL", f"one that {why}")]


def unknown_problems(texts: Iterable[tuple[str, str]], known: Iterable[str]) -> list[Problem]:
    """A problem for each (field, text) that names a variable which has no value by then."""
    known, problems = sorted(known), list[Problem]()
    for place, text in texts:
        unknown = [name for name in named(text) if name not in known]
        if unknown:
            has = ", ".join(known) or "there is none"
            problems.append(Problem(place, f"variables that are known by then ({has})", f"{{{{{unknown[0]}}}}}"))
    return problems


def secret_host_problems(url: str, secrets: Container[str]) -> list[Problem]:
    """A secret that decides where a request goes would be told to whoever is there."""
    inside = [name for name in named(authority_of(url)) if name in secrets]
    return [Problem("url", "no secret where the URL says which host", f"{{{{{inside[0]}}}}}")] if inside else []


def name_problems(field: str, names: Iterable[str]) -> list[Problem]:
    """A problem for each name that no text could use."""
    expected = "a name of letters, digits and _, at most 50"
    return [Problem(join(field, name), expected, found(name)) for name in names if not NAME.fullmatch(name)]
