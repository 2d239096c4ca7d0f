"""One check that is not stored, told in a few lines: whether it answers, how long each phase took, which assertion fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tocsin import checks
from tocsin.core import shape
from tocsin.core.monitor import Monitor
from tocsin.core.plain import as_list
from tocsin.errors import EgressRefused, Invalid, TocsinError
from tocsin.web.api.checks import check_once
from tocsin.web.api.given import check_kept_secrets
from tocsin.web.call import Call
from tocsin.web.pages import assertions, form, phases, words
from tocsin.web.pages.view import problems


@dataclass(frozen=True, slots=True)
class Tried:
    """What came out. `errors`: the form's own problems, when there was nothing to try yet."""

    st: str = "pending"
    title: str = ""
    text: str = ""
    phases: tuple[phases.Phase, ...] = ()
    failed: tuple[str, ...] = ()
    tls: Mapping[str, Any] | None = None
    errors: tuple[str, ...] = ()


async def once(call: Call, data: Mapping[str, Any], monitor: Monitor | None = None) -> Tried:
    """Check once, as the form stands. `monitor`: the one that the form changes; its secrets stand behind ***."""
    wanted = {k: data[k] for k in ("type", "target", "timeout_s", "assertions") if k in data}
    if wanted.get("type") == "push":
        return Tried(st="pending", title="Nothing to try", text="A push monitor waits for your job to call it.")
    try:
        outcome = await check_once(call.parts, call.who, _with_secrets(wanted, monitor))
    except Invalid as error:
        return Tried(
            st="slow", title="Not complete yet", errors=tuple(f"{_field(f)}: {t}" for f, t in problems(error).items())
        )
    except EgressRefused as error:
        return Tried(st="down", title="Refused", text=words.sentence(error))
    except TocsinError as error:
        return Tried(st="down", title="It could not be tried", text=words.sentence(error))
    return told(outcome)


def _with_secrets(wanted: dict[str, Any], monitor: Monitor | None) -> dict[str, Any]:
    """The same with the monitor's own secrets. Raises Invalid where they would go to another place than before."""
    if monitor is None:
        return wanted
    type_ = checks.kind(monitor.type).target
    whole = monitor.target | shape.keep_hidden(type_, wanted["target"], monitor.target)
    check_kept_secrets(type_, wanted["target"], whole, monitor.target, "target")
    return wanted | {"target": whole}


def _field(path: str) -> str:
    return form.label(path.removeprefix("target."))


def told(outcome: Mapping[str, Any]) -> Tried:
    """An outcome, as the API shows it, in a few lines."""
    timing, status = outcome["timing_ms"], outcome["status"]
    st = {"up": "ok", "degraded": "slow", "down": "down", "invalid": "nodata"}[status]
    code = f" {outcome['status_code']}" if outcome["status_code"] is not None else ""
    time = f" in {words.ms(timing['total'])} ms" if timing.get("total") is not None else ""
    titles = {
        "up": f"It answers:{code or ' as expected'}{time}",
        "degraded": f"It answers{code and ':' + code}{time}, but not as well as it should",
        "down": f"It is down{time and ', seen' + time}",
        "invalid": "We could not judge it",
    }
    failed = tuple(failure(a) for a in outcome["assertions"] if not a["ok"])
    error = outcome["error"]
    text = (
        "" if not error or (error["type"] == "assertion" and failed) else error["message"]
    )  # the assertions say it already
    return Tried(
        st=st,
        title=titles[status],
        text=words.capital(text),
        phases=phases.of(timing),
        tls=outcome["tls"],
        failed=failed,
    )


def failure(a: Mapping[str, Any]) -> str:
    """A missed assertion: what was expected, what was seen."""
    kind = str(a["type"])
    what = assertions.TYPES.get(kind, kind).partition(",")[0]
    return f"{what}: expected {short(a.get('expected'))}, seen {short(a.get('actual'))}"


def short(value: Any) -> str:
    """A value in at most 200 characters."""
    items = as_list(value)
    text = str(value) if items is None else ", ".join(str(v) for v in items)
    return text if len(text) <= 200 else text[:199] + "…"
