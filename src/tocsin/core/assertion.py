"""Assertions: what a check must show to be up. `judge` is pure; its parts are cached."""

from __future__ import annotations

import codecs
import operator
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, cast

from msgspec import UNSET

from tocsin.core.assertion_terms import OPS, STATUS_2XX, check_assertions, entries, is_number, range_of
from tocsin.core.json_query import NotJson, Schema, TooCostly, read_body, values_at
from tocsin.core.monitor import Assertion
from tocsin.core.pattern import search
from tocsin.core.plain import clip, found
from tocsin.core.redaction import HIDDEN, holds_credential
from tocsin.core.result import AssertionResult, CheckError, Observation, Status

__all__ = ["OPS", "STATUS_2XX", "as_utf8", "check_assertions", "judge", "verdict_of"]

SHOWN = 80

_SIGNS = {"eq": "==", "ne": "!=", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
}
_NO_CHARSETS = frozenset(("punycode", "idna", "unicode-escape", "raw-unicode-escape", "undefined"))
"""What Python calls encodings and no page is written in; punycode takes minutes for a megabyte."""
_LABELS = {
    "status_code": "status code",
    "json_path": "JSON",
    "json_schema": "JSON schema",
    "response_time_ms": "response time in ms",
    "body_bytes": "body size in bytes",
    "certificate_days": "certificate days left",
    "dns_answer": "DNS answer",
}


class _Seen:
    """One observation while its assertions are judged; what several need is worked out once."""

    __slots__ = ("_json", "_text", "now", "observation")

    def __init__(self, observation: Observation, now: datetime) -> None:
        self.observation, self.now = observation, now
        self._text: bytes | None = None
        self._json: tuple[Any, int] | NotJson | None = None

    def text(self) -> bytes:
        """The body as UTF-8."""
        if self._text is None:
            self._text = as_utf8(self.observation)
        return self._text

    def json(self) -> tuple[Any, int]:
        """The body as JSON and its depth; raises NotJson, the same for all that ask."""
        if self._json is None:
            try:
                self._json = read_body(self.text())
            except NotJson as error:
                cut = self.observation.truncated
                self._json = NotJson(_cut(self.observation)) if cut else error
        if isinstance(self._json, NotJson):
            raise self._json
        return self._json


def _cut(observation: Observation) -> str:
    return f"a body that was cut at {len(observation.body)} bytes"


def as_utf8(observation: Observation) -> bytes:
    """The body as UTF-8, whatever its declared charset."""
    body = observation.body
    charset = ""
    for name, value in observation.headers:
        if name.lower() == "content-type" and "charset=" in value.lower():
            charset = value.lower().split("charset=", 1)[1].split(";")[0].strip(" \"'")
    if body.startswith(b"\xef\xbb\xbf"):
        return body[3:]
    if charset in ("", "utf-8", "utf8", "us-ascii", "ascii") or not charset.isascii() or len(charset) > 30:
        return body
    try:
        if codecs.lookup(charset).name in _NO_CHARSETS:
            return body
        return body.decode(charset, "replace").encode("utf-8", "replace")
    except (LookupError, ValueError):  # ValueError: bytes that are wrong in it, or a name with NUL
        return body


# --- judging ------------------------------------------------------------------------------------------------------

_Judge = Callable[[_Seen], AssertionResult]
_cache: dict[int, tuple[Assertion, _Judge]] = {}
_CACHE_SIZE = 20_000


def judge(assertions: Sequence[Assertion], observation: Observation, now: datetime) -> tuple[AssertionResult, ...]:
    """Each assertion's result, in their order."""
    seen = _Seen(observation, now)
    return tuple([_judge_of(assertion)(seen) for assertion in assertions])


def verdict_of(results: Sequence[AssertionResult]) -> tuple[Status, CheckError | None]:
    """What the results mean together: up, degraded or down, and the error that says which assertions were missed."""
    missed = [r for r in results if not r.ok]
    if not missed:
        return "up", None
    fatal = [r for r in missed if r.on_fail == "down"]
    told = [_sentence(r) for r in (fatal or missed)]
    more = f"; and {len(told) - 3} more" if len(told) > 3 else ""
    return ("down" if fatal else "degraded"), CheckError("assertion", "; ".join(told[:3]) + more)


def _sentence(result: AssertionResult) -> str:
    label = _LABELS.get(result.type, result.type)
    if result.path is not UNSET:
        label += f" {clip(result.path)}"
    if result.name is not UNSET:
        label += f" {clip(result.name)}"
    return f"{label}: expected {_plainly(result.expected)}, found {_plainly(result.actual)}"


def _plainly(value: Any) -> str:
    if isinstance(value, str):
        return clip(value, 160)
    if isinstance(value, list):
        items = cast("list[Any]", value)
        return ", ".join(_plainly(v) for v in items[:8]) + (" …" if len(items) > 8 else "") if items else "nothing"
    return "nothing" if value is None else found(value)


def _judge_of(assertion: Assertion) -> _Judge:
    known = _cache.get(id(assertion))
    if known is not None and known[0] is assertion:
        return known[1]
    made = _MAKERS[assertion.type](assertion)
    if len(_cache) >= _CACHE_SIZE:
        _cache.clear()
    _cache[id(assertion)] = (assertion, made)
    return made


def _result(a: Assertion, ok: bool, expected: Any, actual: Any) -> AssertionResult:
    return AssertionResult(
        type=a.type,
        ok=ok,
        expected=expected,
        actual=actual,
        name=UNSET if a.name is None else a.name,
        path=UNSET if a.path is None else a.path,
        on_fail=a.on_fail,
    )


def _status_code(a: Assertion) -> _Judge:
    ranges = [r for r in map(range_of, entries(a.value)) if r is not None]
    expected = ",".join(str(e) for e in entries(a.value))
    results: dict[int | None, AssertionResult] = {}

    def run(seen: _Seen) -> AssertionResult:
        code = seen.observation.status_code
        known = results.get(code)
        if known is None:
            ok = code is not None and any(low <= code <= high for low, high in ranges)
            known = _result(a, ok, expected, code)
            if len(results) < 1000:
                results[code] = known
        return known

    return run


def _body(a: Assertion) -> _Judge:
    test, expected = _text_test(a)

    def run(seen: _Seen) -> AssertionResult:
        text = seen.text()
        ok, looked_at = test(text)
        if seen.observation.truncated and (not ok or a.op not in ("contains", "matches")):
            # What was not read may say otherwise, unless the forbidden text stands in what was.
            there = not ok and a.op.startswith("not_")
            return _result(a, False, expected, f"it in {_cut(seen.observation)}" if there else _cut(seen.observation))
        if not text:
            return _result(a, ok, expected, "an empty body")
        start = clip(text[: SHOWN * 4].decode("utf-8", "replace").strip(), SHOWN)
        part = f" (looked at the first {looked_at} bytes)" if looked_at < len(text) else ""
        return _result(a, ok, expected, start + part)

    return run


def _text_test(a: Assertion) -> tuple[Callable[[bytes], tuple[bool, int]], str]:
    value, op = str(a.value), a.op
    wanted = value.encode("utf-8", "replace")
    shown = clip(value, SHOWN)
    match op:
        case "contains":
            return (lambda t: (wanted in t, len(t))), f'contains "{shown}"'
        case "not_contains":
            return (lambda t: (wanted not in t, len(t))), f'not contains "{shown}"'
        case "eq":
            return (lambda t: (wanted == t, len(t))), shown
        case _:
            negate = op == "not_matches"

            def run(text: bytes) -> tuple[bool, int]:
                result = search(value, text)
                return result.hit is not negate, result.looked_at

            return run, f"{'not ' if negate else ''}matches {shown}"


def _header(a: Assertion) -> _Judge:
    test, expected = _text_test(a)
    wanted, negative = (a.name or "").lower(), a.op.startswith("not_")
    hides = holds_credential(wanted)

    def run(seen: _Seen) -> AssertionResult:
        values = [v for n, v in seen.observation.headers if n.lower() == wanted]
        tested = [test(v.encode("utf-8", "replace"))[0] for v in values]
        ok = all(tested) if negative else any(tested)
        shown = clip(", ".join(values), SHOWN) if values else None
        return _result(a, ok, expected, HIDDEN if values and hides else shown)

    return run


def _json_path(a: Assertion) -> _Judge:
    path, op, value = a.path or "$", a.op, a.value
    sign = _SIGNS.get(op, op)
    expected = _brief(value) if op == "eq" else f"{sign} {value if op == 'matches' else found(value)}"

    def run(seen: _Seen) -> AssertionResult:
        try:
            values = values_at(path, seen.json()[0])
        except (NotJson, TooCostly) as error:
            return _result(a, False, expected, str(error))
        if not values:
            return _result(a, op == "ne", expected, None)
        ok = _holds(op, values, value)
        at = values[0] if len(values) == 1 else values
        if isinstance(at, str) is isinstance(value, str) or op == "matches":
            return _result(a, ok, expected, _brief(at))
        # A text and something that is none, which may look the same: the text in quotes.
        if isinstance(at, str):
            return _result(a, ok, expected, found(at))
        return _result(a, ok, found(value) if op == "eq" else expected, _brief(at))

    return run


def _holds(op: str, values: list[Any], wanted: Any) -> bool:
    """Whether the selected values meet the condition: every one of them; for `contains` it is enough that one does."""
    if op == "eq":
        return (isinstance(wanted, list) and _same(values, wanted)) or all(_same(v, wanted) for v in values)
    if op == "ne":
        return not any(_same(v, wanted) for v in values)
    if op == "contains":
        return any(_contains(v, wanted) for v in values) or (len(values) > 1 and any(_same(v, wanted) for v in values))
    if op == "matches":
        texts = [v if isinstance(v, str) else found(v) for v in values if isinstance(v, (str, int, float))]
        return len(texts) == len(values) and all(search(str(wanted), t.encode("utf-8", "replace")).hit for t in texts)
    return all(_comparable(v, wanted) and _COMPARE[op](v, wanted) for v in values)


def _comparable(a: Any, b: Any) -> bool:
    return (is_number(a) and is_number(b)) or (isinstance(a, str) and isinstance(b, str))


def _contains(value: Any, wanted: Any) -> bool:
    if isinstance(value, str):
        return isinstance(wanted, str) and wanted in value
    if isinstance(value, dict):
        return isinstance(wanted, str) and wanted in value
    return isinstance(value, list) and any(_same(v, wanted) for v in cast("list[Any]", value))


def _same(a: Any, b: Any) -> bool:
    """Equal as JSON: true is not 1, 1 is 1.0."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, dict) and isinstance(b, dict):
        left, right = cast("dict[str, Any]", a), cast("dict[str, Any]", b)
        return left.keys() == right.keys() and all(_same(v, right[k]) for k, v in left.items())
    if isinstance(a, list) and isinstance(b, (list, tuple)):
        first, second = cast("list[Any]", a), cast("Sequence[Any]", b)
        return len(first) == len(second) and all(_same(x, y) for x, y in zip(first, second, strict=True))
    return a == b


def _brief(value: Any) -> Any:
    """The value itself when it is short, else a rendering of it. (None is kept for what is not there.)"""
    if isinstance(value, (bool, float)):
        return value
    if isinstance(value, int):
        return value if -(1 << 63) <= value < (1 << 63) else "a huge number"
    return clip(value, SHOWN) if isinstance(value, str) else found(value)


def _json_schema(a: Assertion) -> _Judge:
    schema = Schema(a.value)

    def run(seen: _Seen) -> AssertionResult:
        try:
            data, depth = seen.json()
            wrong = schema.wrong(data, depth)
        except (NotJson, TooCostly) as error:
            wrong = str(error)
        return _result(a, wrong is None, "valid", "valid" if wrong is None else wrong)

    return run


def _limit(measure: Callable[[_Seen], float | None]) -> Callable[[Assertion], _Judge]:
    def make(a: Assertion) -> _Judge:
        compare, limit = _COMPARE[a.op], a.value
        expected = f"{_SIGNS[a.op]} {limit}"

        def run(seen: _Seen) -> AssertionResult:
            value = measure(seen)
            return _result(a, value is not None and compare(value, limit), expected, value)

        return run

    return make


def _response_time(seen: _Seen) -> float | None:
    total = seen.observation.timing.total
    return None if total is None else round(total, 3)


def _body_bytes(seen: _Seen) -> float | None:
    size = seen.observation.body_bytes
    return len(seen.observation.body) if size is None else size


def _certificate_days(seen: _Seen) -> float | None:
    tls = seen.observation.tls
    if tls is None or tls.not_after is None:
        return None
    ends = min(tls.not_after, tls.chain_not_after or tls.not_after)
    return round((ends - seen.now).total_seconds() / 86_400, 2)


def _dns_answer(a: Assertion) -> _Judge:
    wanted = [str(v) for v in (cast("Sequence[Any]", a.value) if isinstance(a.value, (list, tuple)) else [a.value])]

    def run(seen: _Seen) -> AssertionResult:
        facts = seen.observation.facts
        exact = facts.get("record_type") == "TXT"
        answers = [str(x) for x in facts.get("answers", ())]
        have, want = {_answer(x, exact) for x in answers}, {_answer(x, exact) for x in wanted}
        ok = have == want if a.op == "eq" else want <= have
        expected = [clip(w, SHOWN) for w in wanted]
        return _result(a, ok, expected, [clip(x, SHOWN) for x in answers[:20]])

    return run


def _answer(text: str, exact: bool) -> str:
    return text.strip().strip('"') if exact else " ".join(part.rstrip(".").lower() or "." for part in text.split())


_MAKERS: dict[str, Callable[[Assertion], _Judge]] = {
    "status_code": _status_code,
    "body": _body,
    "header": _header,
    "json_path": _json_path,
    "json_schema": _json_schema,
    "response_time_ms": _limit(_response_time),
    "body_bytes": _limit(_body_bytes),
    "certificate_days": _limit(_certificate_days),
    "dns_answer": _dns_answer,
}
