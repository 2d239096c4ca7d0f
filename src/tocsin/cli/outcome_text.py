"""One finished check as a block of aligned lines for a terminal."""

from __future__ import annotations

from typing import Any

from tocsin.core.plain import as_list, as_map, clip, found
from tocsin.core.result import AssertionResult, Outcome, Timing, TlsFacts

_MARK = {"up": "●", "degraded": "◐", "down": "○", "invalid": "?"}
_FACTS = {
    "ttl_s": "ttl", "avg_ms": "average", "min_ms": "fastest", "max_ms": "slowest", "jitter_ms": "jitter",
    "loss_percent": "loss",
}  # fmt: skip


def block(outcome: Outcome) -> str:
    """The lines: the state and the target, why it is so, then what was seen, its names aligned."""
    seen = outcome.seen
    rows: list[tuple[str, str]] = []
    if outcome.error is not None:
        rows.append(("why", f"{clip(outcome.error.message, 400)} ({outcome.error.type})"))
    if seen.status_code is not None:
        version = f" over HTTP/{seen.http_version}" if seen.http_version else ""
        rows.append(("status", f"{seen.status_code}{version}"))
    rows.append(("time", _times(seen.timing)))
    if seen.ip:
        rows.append(("address", seen.ip))
    if seen.redirects:
        rows.append(("redirects", f"{seen.redirects}, to {clip(seen.final_url or '', 200)}"))
    if seen.body_bytes is not None:
        rows.append(("body", f"{seen.body_bytes} bytes" + (", cut there" if seen.truncated else "")))
    rows += _tls_rows(seen.tls)
    for name, value in seen.facts.items():
        rows += _fact_rows(name, value)
    rows += [(("holds" if a.ok else "fails"), _assertion(a)) for a in outcome.assertions]
    width = max(len(name) for name, _ in rows)
    first = f"{_MARK[outcome.status]} {outcome.status}  {clip(outcome.target, 300)}"
    return "\n".join([first, *(f"  {name:<{width}}  {text}" for name, text in rows)])


def _times(timing: Timing) -> str:
    total = f"{_ms(timing.total)}" if timing.total is not None else "not measured"
    parts = [
        f"{n} {_ms(v)}" for n in ("dns", "connect", "tls", "ttfb", "transfer") if (v := getattr(timing, n)) is not None
    ]
    return total + (f" ({', '.join(parts)})" if parts else "")


def _ms(value: float) -> str:
    if value >= 10_000:
        return f"{value / 1000:.1f} s"
    return f"{value:.0f} ms" if value >= 100 else f"{value:.1f} ms"


def _tls_rows(tls: TlsFacts | None) -> list[tuple[str, str]]:
    if tls is None or not (tls.protocol or tls.chain):
        return []
    good = "certificate accepted" if tls.verified else "certificate not verified"
    rows = [("tls", ", ".join(x for x in (tls.protocol, tls.cipher, good) if x))]
    if tls.subject or tls.sans:
        rows.append(("certificate", clip(f"{tls.subject or 'no name'}, from {tls.issuer}", 200)))
    if tls.not_after is not None:
        days = "" if tls.days_left is None else f" ({tls.days_left:.0f} days)"
        rows.append(("valid until", f"{tls.not_after:%Y-%m-%d %H:%M} UTC{days}"))
    return rows


def _fact_rows(name: str, value: Any) -> list[tuple[str, str]]:
    """A fact's row; a row each for a list of objects ("step 1", "step 2" for steps)."""
    entries = [as_map(item) for item in as_list(value) or ()]
    if not entries or None in entries:
        return [(_FACTS.get(name, name.replace("_", " ")), _plain(name, value))]
    one = name.removesuffix("s").replace("_", " ")
    return [(f"{one} {n}", _entry(entry or {})) for n, entry in enumerate(entries, 1)]


def _entry(entry: dict[Any, Any]) -> str:
    """An object on one line: its name, then what it says, without what stands deeper."""
    said = [str(entry["name"])] if "name" in entry else []
    for key, value in entry.items():
        if key != "name" and value is not None and as_map(value) is None:
            what = "" if key == "ms" else key.replace("_", " ").removesuffix(" ms") + " "
            said.append(what + (_ms(value) if key == "ms" else _plain(key, value)))
    return clip(", ".join(said), 300)


def _plain(name: str, value: Any) -> str:
    items = as_list(value)
    if items is not None:
        return clip(", ".join(str(v) for v in items), 300) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name.endswith("_ms") and isinstance(value, (int, float)):
        return _ms(value)
    unit = " s" if name.endswith("_s") else " %" if name.endswith("_percent") else ""
    return clip(f"{value:g}" if unit and isinstance(value, float) else str(value), 300) + unit


def _assertion(a: AssertionResult) -> str:
    what = " ".join(str(x) for x in (a.type.replace("_", " "), a.name, a.path) if isinstance(x, str))
    if a.ok:
        return f"{what}: {_shown(a.expected)}"
    return f"{what}: expected {_shown(a.expected)}, found {_shown(a.actual)}"


def _shown(value: Any) -> str:
    items = as_list(value)
    if items is not None:
        return clip(", ".join(map(str, items)), 120) or "nothing"
    return "nothing" if value is None else clip(value, 120) if isinstance(value, str) else found(value)
