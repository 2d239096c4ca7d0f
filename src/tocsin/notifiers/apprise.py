"""apprise: whatever the library Apprise speaks, by one of its URLs; in a thread whose every connection is judged first."""

from __future__ import annotations

import importlib.util
import logging
import re
import threading
from dataclasses import dataclass
from typing import Annotated, Any, cast
from urllib.parse import unquote

from tocsin.core.alert import Message
from tocsin.core.shape import Help, Hidden, Length
from tocsin.core.wording import one_line
from tocsin.errors import DeliveryFailed, EgressRefused, Invalid, Problem
from tocsin.notifiers import Receipt, Way
from tocsin.notifiers._fit import fitted, link_words, listed, plain

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,40})://.")
# What speaks to this machine itself, from threads of its own, or without looking addresses up: nobody could judge it.
_REFUSED = frozenset(("blink1", "dbus", "glib", "gnome", "macosx", "mqtt", "rsyslog", "syslog", "windows", "xmpp"))
_REFUSED_SCHEMES = _REFUSED | {"exec", "file", "kde", "mqtts", "notifico-exec", "qt", "xmpps"}
_TALKERS = ("apprise", "urllib3", "requests_oauthlib", "oauthlib")
_CONNECT_S, _READ_S = 4.0, 8.0
_ROOM = 200
_WORD = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Anything that Apprise speaks, by its URL."""

    url: Annotated[
        str, Hidden, Length(1, 2048), Help("one Apprise URL, such as gotify://host/token; its wiki lists them")
    ]

    def __post_init__(self) -> None:
        found = _SCHEME.match(self.url)
        if found is None or not self.url.isprintable() or " " in self.url:
            raise Invalid(Problem("url", "one Apprise URL, scheme://…", "***"))
        if (scheme := found[1].lower()) in _REFUSED_SCHEMES:
            raise Invalid(
                Problem("url", "an Apprise URL of a service whose connections Tocsin can judge", f"{scheme}://***")
            )
        if importlib.util.find_spec("apprise") is None:
            raise Invalid(Problem("url", "a server with the extra apprise (pip install 'tocsin[apprise]')", "none"))


async def send(config: Config, message: Message, way: Way) -> Receipt:
    """Hand it to Apprise, which says yes or no, and writes why into its log."""
    try:
        said = await way.net.guarded.run(lambda: _tell(config.url, message))
    except EgressRefused as refused:
        raise DeliveryFailed(_masked(str(refused), config.url), permanent=True) from None
    if said is None:
        raise DeliveryFailed("Apprise does not understand this URL", permanent=True)
    if said:
        raise DeliveryFailed(f"Apprise: {_masked(said, config.url)}")
    return Receipt("taken by Apprise")


def _tell(url: str, message: Message) -> str | None:
    """Nothing when it was taken, None when the URL is no service of Apprise's, else why it was not.

    The service is called itself: Apprise's own `notify` would hand it to threads that nobody judges."""
    import apprise
    from apprise import conversion

    library, convert = cast("Any", apprise), cast("Any", conversion).convert_between
    with _Heard() as heard:
        asset = library.AppriseAsset(storage_mode="memory", plugin_paths=[], async_mode=False)
        service = library.Apprise.instantiate(url, asset=asset)
        if not service or type(service).__module__.split(".")[2] in _REFUSED:
            return None
        service.socket_connect_timeout, service.socket_read_timeout = _CONNECT_S, _READ_S
        if "overflow=" not in url:
            service.overflow_mode = "truncate"
        plainly = library.NotifyFormat.TEXT
        shown = service.resolve_format(plainly)
        body = _body(message, int(service.body_maxlen or 1000))
        title = message.title
        taken = service.notify(
            title=title if service.title_maxlen > 0 else convert(plainly, shown, content=title),
            body=convert(plainly, shown, content=body),
            notify_type=_notify_type(message),
            body_format=shown,
        )
    return "" if taken else "; ".join(heard.words[-3:]) or "it was not taken"


class _Heard(logging.Handler):
    """What Apprise writes into its log in this thread. It goes nowhere else: there are secrets in it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.words: list[str] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.words.append(one_line(record.getMessage(), 300))

    def __enter__(self) -> _Heard:
        for name in _TALKERS:
            logging.getLogger(name).propagate = False
        logging.getLogger(_TALKERS[0]).addHandler(self)
        return self

    def __exit__(self, *exc: object) -> None:
        logging.getLogger(_TALKERS[0]).removeHandler(self)


def _body(message: Message, limit: int) -> str:
    """Text, what a digest gathers, and the address."""
    link = f"\n{link_words(message)}: {message.url}" if message.url else ""
    room = max(limit - len(link) - _ROOM, _ROOM)
    text = fitted(message.text or message.title, room // 2 if message.items else room, str)
    items = "\n" + listed(message.items, room - len(text), plain) if message.items else ""
    return text + items + link


def _notify_type(message: Message) -> str:
    if message.event in ("incident.resolved", "test"):
        return "success" if message.event == "incident.resolved" else "info"
    return "failure" if message.severity in ("critical", "down") else "warning"


def _masked(text: str, url: str) -> str:
    """The text without anything that stands in the URL behind its scheme: any of it may be a secret."""
    rest = url.partition("://")[2]
    pieces = {rest, *re.split(r"[/@:?&=,#%]+", rest), *re.split(r"[/@:?&=,#]+", unquote(rest))}
    for piece in sorted((p for p in pieces if len(p) >= _WORD), key=len, reverse=True):
        text = text.replace(piece, "***")
    return one_line(text, 400)
