"""HTTP for checks and notifiers: the engine that both use."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from tocsin.core.result import Observation
from tocsin.errors import CheckFailed, CheckInvalid, DeliveryFailed, EgressRefused
from tocsin.net import url as urls
from tocsin.net.heard import Heard
from tocsin.net.journey import HttpRequest, Journey, Login, Way
from tocsin.net.multi import Multi
from tocsin.net.oauth import Grant, Tokens
from tocsin.net.progress import progress

__all__ = ["Grant", "HttpEngine", "HttpReply", "HttpRequest", "Login"]

_REPLY_LIMIT = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpReply:
    """What a channel's service answered; at most 64 KiB of body. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpEngine:
    """Fetches over libcurl in its own thread. Always fresh connections, never a resumed TLS session."""

    def __init__(self) -> None:
        self._multi = Multi()
        self._heard = Heard()
        self.tokens = Tokens(self)
        self._way: Way | None = None

    def use(self, way: Way) -> None:
        """Say whose resolver and guard to ask (done once, by the net)."""
        self._way = way

    async def close(self) -> None:
        """End the thread."""
        self._multi.close()

    async def fetch(self, request: HttpRequest) -> Observation:
        """The answer, whatever its status. Raises CheckFailed (with what was seen until then), EgressRefused, or
        CheckInvalid when the fault is ours."""
        if self._way is None:
            raise RuntimeError("the engine belongs to no net yet")
        try:
            url = urls.parse(request.url)
        except ValueError as error:
            raise CheckFailed("protocol", f"the URL {error}") from None
        return await Journey(self._multi, self._way, self._heard, request, url, progress()).go()

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float = 10.0, method: str = "POST"
    ) -> HttpReply:
        """Send a notification and return what was answered, whatever its status; also when the body never came to its
        end. Redirects are followed only on the same host and only when they keep the method. Raises DeliveryFailed when
        there is no answer."""
        request = HttpRequest(
            url=url, method=method, headers=tuple(headers.items()), body=body, timeout_s=timeout_s, max_redirects=3,
            only_this_host=True, keep_method=True, max_body=_REPLY_LIMIT,
        )  # fmt: skip
        try:
            async with asyncio.timeout(timeout_s + 0.3):
                seen = await self.fetch(request)
        except CheckFailed as failure:
            seen = _answered(failure)
            if seen is None:
                raise DeliveryFailed(failure.message) from failure
        except CheckInvalid as fault:
            raise DeliveryFailed(str(fault)) from fault
        except EgressRefused as refused:
            raise DeliveryFailed(str(refused), permanent=True) from refused
        except TimeoutError:
            raise DeliveryFailed(f"no answer within {timeout_s:g} s") from None
        return HttpReply(status=seen.status_code or 0, headers=dict(seen.headers), body=seen.body)


def _answered(failure: CheckFailed) -> Observation | None:
    """What a failed exchange had answered by then: with its final status the other side has acted, and a body that is slow
    or broken changes nothing in that. A redirect or a 1xx is no final one."""
    seen: Observation | None = failure.observation
    status = (seen.status_code if seen is not None else None) or 0
    return seen if 200 <= status < 300 or status >= 400 else None
