"""What libcurl's error codes mean to us: an error type, a phase, and words for people."""

from __future__ import annotations

import errno

import pycurl

from tocsin.core.plain import clip
from tocsin.core.result import TlsFacts
from tocsin.errors import CheckFailed, CheckInvalid
from tocsin.net.progress import timeout_message
from tocsin.net.shortage import shortage
from tocsin.net.tls import why_refused
from tocsin.net.transfer import Transfer

_RESET = (errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED)
_TLS_REFUSED = (pycurl.E_PEER_FAILED_VERIFICATION, pycurl.E_SSL_ISSUER_ERROR, 91)
_TLS_OTHER = (35, 53, 54, 58, 59, 64, 66, 77, 80, 82, 83, 90)
_PROTOCOL = {
    1: "it does not answer in HTTP",
    8: "the answer is not HTTP",
    16: "the answer is not HTTP/2, or broken",
    18: "the body is shorter than promised",
    23: "the answer cannot be taken in",
    61: "the body's encoding is broken",
    92: "HTTP/2 broke off",
    95: "HTTP/3 broke off",
    100: "the headers are too large",
}
_LONGEST = 256
_OURS = (2, 4, 27, 41, 42, 43, 48)


def phase_of(transfer: Transfer) -> str:
    """The phase the exchange was in when it ended."""
    if not transfer.connect_us:
        return "connect"
    if transfer.url.scheme == "https" and not transfer.appconnect_us:
        return "tls"
    if not transfer.start_us:
        body = transfer.request_body
        return "send" if body and transfer.upload < len(body) else "ttfb"
    return "transfer"


def fault_of(transfer: Transfer, facts: TlsFacts | None, timeout_s: float) -> CheckFailed | CheckInvalid:
    """The failure a transfer ended with (its code is not 0); `timeout_s` is the time that all of it had."""
    code, phase = transfer.code, phase_of(transfer)
    text = clip(transfer.text, _LONGEST)  # it may repeat what the target said
    through = f" through the proxy {transfer.proxy}" if transfer.proxy else ""
    where = transfer.url.authority + through
    if code == pycurl.E_OPERATION_TIMEDOUT:
        return CheckFailed("timeout", timeout_message(timeout_s, phase) + through, phase=phase)
    if (ours := _shortage(transfer)) is not None:
        return ours
    if code in _TLS_REFUSED:
        return CheckFailed("tls", why_refused(facts, transfer.url.host, transfer.verify_code, text), phase="tls")
    if code in (5, 6):
        return CheckFailed("dns", text, phase="dns")
    if code in _OURS:
        return CheckInvalid(f"the HTTP engine could not do it: {text}")
    if transfer.proxy and (lost := _no_way(transfer, text)) is not None:
        return lost
    if code == 7:
        return _no_connection(transfer, where)
    if (gone := _hung_up(transfer, where, phase)) is not None:
        return gone
    if code == 35 and ("wrong version number" in text or "packet length too long" in text or "record layer" in text):
        return CheckFailed("tls", f"{where} does not speak TLS on this port", phase="tls")
    if code in _TLS_OTHER:
        return CheckFailed("tls", f"TLS failed: {text}", phase="tls")
    if code in (55, 56) and text.startswith("OpenSSL SSL_"):
        return CheckFailed("tls", f"TLS failed: {text.rpartition('::')[2].partition(',')[0]}", phase=phase)
    if code == 56 and (transfer.start_us or transfer.status or "nghttp2" in text):
        return CheckFailed("protocol", f"the answer is broken: {text}", phase=phase)
    if code in _PROTOCOL:
        return CheckFailed("protocol", f"{_PROTOCOL[code]}: {text}" if text else _PROTOCOL[code], phase=phase)
    return CheckFailed("network", text or f"libcurl error {code}", phase=phase)


def no_socket(transfer: Transfer) -> bool:
    """Whether not even a socket could be opened: libcurl hides that error, while a connection that fails has one."""
    said = transfer.text.lower()
    return (
        transfer.code == pycurl.E_COULDNT_CONNECT and not transfer.errno and not ("refused" in said or "tunnel" in said)
    )


def _shortage(transfer: Transfer) -> CheckInvalid | None:
    """The fault of ours that a code stands for, None when it may be the target's."""
    code = transfer.code
    if no_socket(transfer):
        return CheckInvalid("this machine could open no socket (most likely no file descriptor is left)")
    if code == pycurl.E_SSL_CACERT_BADFILE and (transfer.special is None or transfer.special.ca_file is None):
        return CheckInvalid(f"this machine's own authorities cannot be read: {transfer.text}")
    if code in (pycurl.E_COULDNT_CONNECT, pycurl.E_SEND_ERROR, pycurl.E_RECV_ERROR):
        return shortage(transfer.errno)
    return None


def _hung_up(transfer: Transfer, where: str, phase: str) -> CheckFailed | None:
    """The failure when the connection was reset, or closed before an answer began."""
    code, text = transfer.code, transfer.text
    reset = transfer.errno in _RESET or any(
        w in text.lower() for w in ("reset by peer", "broken pipe", "ssl_error_syscall")
    )
    if code in (16, 35, 52, 55, 56, 96) and reset:
        return CheckFailed("connection_reset", f"{where} reset the connection", phase=phase)
    if code == 52 or (code in (35, 56) and "unexpected eof" in text and phase != "transfer"):
        doing = "in the TLS handshake" if phase == "tls" else "without an answer"
        return CheckFailed("connection_reset", f"{where} closed the connection {doing}", phase=phase)
    return None


def _no_way(transfer: Transfer, text: str) -> CheckFailed | None:
    """The failure when it was the proxy that could not be reached, or that let nothing through."""
    proxy, number = f"the proxy {transfer.proxy}", transfer.errno
    if number == errno.ECONNREFUSED and not transfer.connect_us:
        return CheckFailed("connection_refused", f"connection refused by {proxy}", phase="connect")
    if "aborted" in text or (transfer.code != 7 and number in _RESET and not transfer.connect_us):
        return CheckFailed("connection_reset", f"{proxy} closed the connection without an answer", phase="connect")
    if transfer.code == 97 or "CONNECT" in text:
        return CheckFailed("network", f"{proxy} refused: {text}", phase="connect")
    if transfer.code == 7:
        return CheckFailed("network", f"no connection to {proxy}: {text}", phase="connect")
    return None


def _no_connection(transfer: Transfer, where: str) -> CheckFailed:
    number = transfer.errno
    at = f"{where} ({transfer.connect_to.removeprefix('::')})" if transfer.connect_to else where
    if number == errno.ECONNREFUSED or "refused" in transfer.text.lower():
        return CheckFailed("connection_refused", f"connection refused by {at}", phase="connect")
    if number in _RESET:
        return CheckFailed("connection_reset", f"{at} reset the connection", phase="connect")
    if number == errno.ETIMEDOUT:
        return CheckFailed("timeout", f"no answer from {at}", phase="connect")
    return CheckFailed("network", f"no connection to {at}: {clip(transfer.text, _LONGEST)}", phase="connect")
