"""One walk of a browser, as a check sees it: what was ordered, what came of it, in our words and without secrets."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from tocsin.core.plain import clip, quiet_url
from tocsin.core.result import Observation, Timing
from tocsin.core.variables import Veil, fill, named
from tocsin.errors import CheckFailed, EgressRefused
from tocsin.net import Net
from tocsin.net.progress import progress
from tocsin.net.relay import Relay, Trouble, told
from tocsin.net.url import parse

_RESET = ("ERR_EMPTY_RESPONSE", "ERR_CONNECTION_RESET", "ERR_CONNECTION_CLOSED", "ERR_SOCKET_NOT_CONNECTED")
_NO_WAY = ("ERR_TUNNEL_CONNECTION_FAILED", *_RESET)
_LATE = ("ERR_TIMED_OUT", "ERR_CONNECTION_TIMED_OUT")
_BAD_HTTP = (
    "ERR_INVALID_",
    "ERR_HTTP2_",
    "ERR_RESPONSE_",
    "ERR_TOO_MANY_",
    "ERR_INCOMPLETE_",
    "ERR_CONTENT_",
    "ERR_ABORTED",
)

Steps = Sequence[tuple[str, dict[str, Any]]]


async def visit(steps: Steps, secrets: Mapping[str, str], order: dict[str, Any], net: Net) -> Observation:
    """What was seen. `steps` are (the step in words, the step). Raises CheckFailed with what was seen until then,
    EgressRefused or CheckInvalid."""
    veil = Veil(secrets.values())
    filled = [{n: fill(t, secrets) if n in ("url", "value") and t else t for n, t in step.items()} for _, step in steps]
    for made, (_, step) in zip(filled, steps, strict=True):
        made["secret"] = bool(named(step["value"] or ""))
    began = time.perf_counter()
    order = order | {"steps": filled, "hide": list(secrets.values())}
    answer, relay = await net.browser.run(order, progress().remaining_s())
    seen = _seen(steps, answer, relay, veil)
    wall_ms = (time.perf_counter() - began) * 1000
    seen = replace(seen, engine_wait_ms=max(0.0, wall_ms - (seen.timing.total or 0.0)))  # a browser takes time to start
    failed: dict[str, Any] | None = answer["failed"]
    if relay.flooded:
        raise CheckFailed("protocol", "the page loaded more than 256 MB", phase="transfer", observation=seen)
    if failed is None:
        return seen
    index = int(failed["index"])
    where = f"step {index + 1} ({veil.over(steps[index][0])})"
    url = filled[index]["url"] if filled[index]["do"] == "goto" else None
    reason = _reason(failed, relay, url)
    message = f"{where}: {veil.over(str(reason))}"
    if isinstance(reason, CheckFailed):
        raise CheckFailed(reason.type, message, phase=reason.phase, observation=seen)
    raise type(reason)(message)


def _reason(failed: Mapping[str, Any], relay: Relay, url: str | None) -> Trouble:
    """Why a step failed: what the relay met where the browser only knows that it could not."""
    net, what = str(failed["net"]), str(failed["what"])
    trouble = _trouble(relay, url, str(failed["url"])) if url is not None and net in _NO_WAY else None
    if trouble is not None:
        return trouble
    if net.startswith(("ERR_CERT_", "ERR_SSL_")):
        return CheckFailed("tls", f"expected a certificate that Chromium trusts, found {net}", phase="tls")
    if net in _RESET:
        return CheckFailed("connection_reset", f"the connection was closed without an answer ({net})", phase="ttfb")
    if net in _LATE:
        return CheckFailed("timeout", f"no answer in time ({net})", phase="ttfb")
    if net.startswith(_BAD_HTTP):
        return CheckFailed("protocol", f"expected a page, found an answer that is none ({net})", phase="transfer")
    return CheckFailed(str(failed["type"]), what, phase=failed["phase"])


def _trouble(relay: Relay, url: str, led: str) -> Trouble | None:
    """What stood in the way to this page, which may be where another one led (that is the target's doing then)."""
    at, asked = _place(url), _place(led or url)
    trouble = relay.trouble.get(asked)
    if isinstance(trouble, EgressRefused) and asked != at:
        return CheckFailed("network", f"refused: {trouble}", phase="dns")
    return trouble


def _seen(steps: Steps, answer: Mapping[str, Any], relay: Relay, veil: Veil) -> Observation:
    def shown(text: object, most: int = 200) -> str:
        return clip(veil.over(str(text)), most)

    trace: list[dict[str, Any]] = []
    for (words, _), done in zip(steps, answer["steps"], strict=False):
        trace.append({"name": shown(words), "ms": done["ms"]})
    failed = answer["failed"]
    if failed is not None and trace:
        trace[-1]["error"] = shown(failed["what"])
    facts: dict[str, Any] = {"steps": trace, **answer["vitals"]}
    if answer["title"]:
        facts["title"] = shown(answer["title"])
    if answer["console"]:
        facts["console_errors"] = [shown(text) for text in answer["console"]]
    if answer["requests"]:
        facts["failed_requests"] = [shown(_quiet(text)) for text in answer["requests"]]
    refused = [f"{place}: {told(t)}" for place, t in relay.trouble.items() if isinstance(t, EgressRefused)]
    if refused:
        facts["refused"] = [shown(text) for text in refused]
    url = str(answer["url"])
    picture = base64.b64decode(answer["picture"]) if answer["picture"] else b""
    return Observation(
        status_code=answer["status_code"],
        timing=Timing(ttfb=answer["vitals"].get("ttfb_ms"), total=sum(s["ms"] for s in answer["steps"])),
        ip=relay.peers.get(_place(url)),
        final_url=shown(quiet_url(url), 1000) if url.startswith("http") else None,
        facts=facts,
        picture=picture,
    )


def _quiet(text: str) -> str:
    before, space, url = text.rpartition(" ")
    return before + space + quiet_url(url)


def _place(url: str) -> str:
    """host:port, as the relay calls it."""
    try:
        at = parse(url)
    except ValueError:
        return ""
    return f"{at.host}:{at.port}"
