"""One finished check as a block of aligned lines for a terminal."""

from __future__ import annotations

from typing import Any

from tocsin.core.fact_text import fact_rows, ms
from tocsin.core.plain import as_list, clip, found, quiet_url
from tocsin.core.result import AssertionResult, Outcome, Timing, TlsFacts

_MARK = {"up": "●", "degraded": "◐", "down": "○", "invalid": "?"}


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
        rows.append(("redirects", f"{seen.redirects}, to {clip(quiet_url(seen.final_url or ''), 200)}"))
    if seen.body_bytes is not None:
        rows.append(("body", f"{seen.body_bytes} bytes" + (", cut there" if seen.truncated else "")))
    rows += _tls_rows(seen.tls)
    rows += fact_rows(seen.facts)
    rows += [(("holds" if a.ok else "fails"), _assertion(a)) for a in outcome.assertions]
    width = max(len(name) for name, _ in rows)
    first = f"{_MARK[outcome.status]} {outcome.status}  {clip(outcome.target, 300)}"
    return "\n".join([first, *(f"  {name:<{width}}  {text}" for name, text in rows)])


def _times(timing: Timing) -> str:
    total = f"{ms(timing.total)}" if timing.total is not None else "not measured"
    parts = [
        f"{n} {ms(v)}" for n in ("dns", "connect", "tls", "ttfb", "transfer") if (v := getattr(timing, n)) is not None
    ]
    return total + (f" ({', '.join(parts)})" if parts else "")


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
