"""How often a caller may come, and who the caller is behind proxies. All in memory, all bounded."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict, deque
from collections.abc import Mapping

_MOST_CALLERS = 20_000


class TooMany(Exception):
    """The caller came too often; `retry_after_s` is when to come again."""

    def __init__(self, detail: str, retry_after_s: float) -> None:
        super().__init__(detail)
        self.detail, self.retry_after_s = detail, retry_after_s


class Buckets:
    """A token bucket for each caller: `per_minute` at once, refilled evenly. The longest idle callers are forgotten."""

    def __init__(self, per_minute: int) -> None:
        self._size, self._rate = float(per_minute), per_minute / 60
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str, now: float) -> None:
        """Count one request; raises TooMany when there is nothing left."""
        left, since = self._left.pop(caller, (self._size, now))
        left = min(self._size, left + (now - since) * self._rate)
        granted = left >= 1
        self._left[caller] = (left - 1 if granted else left, now)
        if len(self._left) > _MOST_CALLERS:
            self._left.popitem(last=False)
        if not granted:
            raise TooMany("too many requests", (1 - left) / self._rate)


class Attempts:
    """A sliding minute of attempts for each name: at most `per_minute` of them."""

    def __init__(self, per_minute: int) -> None:
        self._most = per_minute
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def count(self, name: str, now: float) -> None:
        """Count one attempt before anything is tried; raises TooMany (and does not count) when there were too many."""
        times = self._times.pop(name, None) or deque[float]()
        while times and times[0] <= now - 60:
            times.popleft()
        self._times[name] = times
        if len(self._times) > _MOST_CALLERS:
            self._times.popitem(last=False)
        if len(times) >= self._most:
            raise TooMany("too many attempts", times[0] + 60 - now)
        times.append(now)

    def forgive(self, name: str) -> None:
        """Take the latest attempt back: it succeeded."""
        times = self._times.get(name)
        if times:
            times.pop()


def client_address(peer: str, headers: Mapping[str, str], trusted_proxies: int) -> str:
    """The address of whom the outermost trusted proxy talked to: never what the caller itself wrote further left.

    With n trusted proxies the n-th entry of X-Forwarded-For from the right is what the first of them saw. When it is
    missing or no address, the peer itself is the caller."""
    if trusted_proxies <= 0:
        return peer
    hops = [hop.strip() for hop in headers.get("x-forwarded-for", "").split(",") if hop.strip()]
    if len(hops) < trusted_proxies:
        return peer
    try:
        return str(ipaddress.ip_address(hops[-trusted_proxies].strip("[]")))
    except ValueError:
        return peer


def address_name(address: str) -> str:
    """What counts as one caller: an IPv4 address, or the /64 an IPv6 address lies in."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    if ip.version == 6:
        mapped = ip.ipv4_mapped
        return str(mapped) if mapped else str(ipaddress.ip_network((ip, 64), strict=False))
    return str(ip)
