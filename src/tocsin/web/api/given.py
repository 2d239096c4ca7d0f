"""What several nouns ask of the data they are given."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any
from urllib.parse import urlsplit

from tocsin.core import shape
from tocsin.core.plain import as_list, as_map, found
from tocsin.core.variables import authority_of
from tocsin.errors import Invalid, Problem

_WHERE = (
    "url", "host", "port", "server", "server_name", "smtp_url", "base_url", "proxy", "token_url", "resolve", "ca_file",
)  # fmt: skip
"""Fields that say where a secret is sent, or to whom it is trusted there."""
_KEPT_PRIVATE = ("verify_tls", "tls", "starttls")
"""Fields without which anybody on the way could read it."""


def as_object(data: Any) -> dict[str, Any]:
    """The same data, when it is an object; raises Invalid otherwise."""
    given = as_map(data)
    if given is None:
        raise Invalid(Problem("", "an object", found(data)))
    return {str(name): value for name, value in given.items()}


def check_kept_secrets(
    type_: Any, typed: dict[str, Any], fresh: dict[str, Any], old: dict[str, Any], where: str
) -> None:
    """Return if no secret that nobody typed again would be sent to another place than before; raises Invalid otherwise.

    `typed` is what the caller sent, `fresh` the whole as it would be kept. Whoever may change where a secret is sent
    could read it there. (A signing key is never sent, so "secret" is free to stay.)"""
    shown = shape.hide(type_, fresh)
    kept = [
        name for name in fresh
        if name != "secret" and shown[name] != fresh[name]
        and (_stands_in(typed.get(name)) or (fresh[name] == old.get(name) and typed.get(name) != fresh[name]))
    ]  # fmt: skip
    if not kept:
        return
    if _places(fresh) - _places(old):
        raise Invalid(Problem(f"{where}.{kept[0]}", "typed again, because a step leads elsewhere now", "***"))
    usual = {f.name: f.default for f in shape.fields(type_)}
    for name in _WHERE:
        now, before = (_place(data.get(name, usual.get(name))) for data in (fresh, old))
        if name not in kept and now != before and not _upgrade(before, now):
            raise Invalid(Problem(f"{where}.{kept[0]}", f"typed again, because {name} leads elsewhere now", "***"))
    for name in _KEPT_PRIVATE:
        if old.get(name, usual.get(name)) and not fresh.get(name, usual.get(name)):
            raise Invalid(Problem(f"{where}.{kept[0]}", f"typed again, because {name} is off now", "***"))


def _stands_in(value: Any) -> bool:
    """Whether somewhere in it *** stands for a secret that is kept."""
    items, entries = as_list(value), as_map(value)
    if entries is not None:
        return any(_stands_in(v) for v in entries.values())
    return any(_stands_in(v) for v in items) if items is not None else value == shape.HIDDEN_TEXT


def _places(data: dict[str, Any]) -> set[str]:
    """Where its steps lead. One whose place comes out of an answer leads wherever the steps before it say."""
    steps = as_list(data.get("steps")) or ()
    urls = [str((as_map(step) or {}).get("url") or "") for step in steps]
    places = {authority_of(url).lower() for url in urls if url}
    return {f"{place} {steps}" if "{{" in place else place for place in places}


def _place(value: Any) -> Any:
    """What of a field says where: of a URL its scheme and host."""
    if isinstance(value, str) and "://" in value:
        try:
            parts = urlsplit(value)
        except ValueError:  # it says where all the same, as a whole
            return value
        return f"{parts.scheme}://{parts.netloc}".lower()
    return value or None


def _upgrade(before: Any, now: Any) -> bool:
    """Whether it is the same host, by https now."""
    return isinstance(before, str) and before.startswith("http://") and now == before.replace("http", "https", 1)


def twice(where: str, values: Sequence[Hashable]) -> list[Problem]:
    """What is wrong with values of which some are there more than once: the later ones."""
    return [
        Problem(f"{where}[{n}]", "each of them once", found(value))
        for n, value in enumerate(values)
        if value in values[:n]
    ]


def some_of(names: Sequence[str], most: int = 5) -> str:
    """The first of these names for a refusal: "a, b, c, d, e and 3 more"."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
