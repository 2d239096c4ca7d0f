"""The agent's own file: YAML, strict, each error with its line. What the operator wrote becomes values of ours."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from msgspec import Struct

from tocsin.agent import strict_yaml
from tocsin.agent.monitors import Monitor, read_monitors
from tocsin.agent.references import resolved
from tocsin.agent.rules import LocalRule, read_rules
from tocsin.core import shape
from tocsin.core.alert import Channel
from tocsin.core.duration import SAYS, seconds
from tocsin.core.marks import Choice, Help, Hidden, Length, Name, Pattern, Range
from tocsin.core.plain import as_list, as_map, clip, found, join
from tocsin.errors import Invalid, NotFound, Problem, SettingsError
from tocsin.net import url as urls
from tocsin.secret import Secret

_DURATIONS = ("for", "recovery", "timeout")
_EPOCH = datetime.fromtimestamp(0, UTC)
MOST_BUFFER_MB = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class DashboardPart:
    """The local page."""

    enabled: Annotated[bool, Help("whether there is one")] = False
    port: Annotated[int, Range(0, 65535), Help("port on this machine")] = 3000
    host: Annotated[str, Length(1, 255), Help("address it listens on; it has no sign-in")] = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """The file as it is written. Durations are seconds by then."""

    api_key: Annotated[str | None, Hidden, Length(8, 500), Help("the key to enrol with, needed once")] = None
    server_url: Annotated[
        str | list[Annotated[str, Length(1, 500)]] | None, Help("where the server is; a list for several")
    ] = None
    server_pin: Annotated[
        str | None, Pattern(r"(?i:sha256:)?[0-9a-fA-F:]{64,95}", "a SHA-256 fingerprint"),
        Help("the one certificate that is accepted of it"),
    ] = None  # fmt: skip
    server_ca: Annotated[str | None, Length(1, 1000), Help("file of the authorities (PEM) that vouch for it")] = None
    allow_plain: Annotated[bool, Help("whether http:// to another machine is allowed")] = False
    server_name: Annotated[str | None, Name, Length(1, 100), Help("what this host is called")] = None
    data_dir: Annotated[str | None, Length(1, 1000), Help("folder for the buffer and what enrolling gave")] = None
    tags: Annotated[list[Annotated[str, Length(1, 50)]], Length(0, 20), Help("tags of the host")] = field(
        default_factory=list[str]
    )
    heartbeat_interval: Annotated[
        float | None, Range(1, 60), Help("how often the agent says that it lives (60 s, and at least so often)")
    ] = None
    metrics_push_interval: Annotated[float | None, Range(1, 3600), Help("how often samples are handed over (30 s)")] = (
        None
    )
    buffer_mb: Annotated[int, Range(1, MOST_BUFFER_MB), Help("most room for what is not handed over yet")] = 64
    log_level: Annotated[str | None, Choice("debug", "info", "warning", "error"), Help("how much is logged")] = None
    dashboard: Annotated[DashboardPart, Help("the local page")] = DashboardPart()
    monitors: Annotated[list[Any], Length(0, 200), Help("what is looked at")] = field(default_factory=list[Any])
    rules: Annotated[list[Any], Length(0, 500), Help("limits of this host's own")] = field(default_factory=list[Any])
    alerts: Annotated[list[Any], Length(0, 20), Help("channels that the agent can tell by itself")] = field(
        default_factory=list[Any]
    )


class AgentConfig(Struct, frozen=True, kw_only=True):
    """What the agent runs by, of its file and the environment. `warnings`: what its operator should know of the file."""

    api_key: Secret | None = None
    urls: tuple[str, ...] = ()
    pin: str | None = None
    ca: str | None = None
    name: str = ""
    data_dir: Path | None = None
    tags: tuple[str, ...] = ()
    heartbeat_s: float | None = None
    push_s: float | None = None
    buffer_bytes: int = 64 << 20
    log_level: str | None = None
    dashboard: DashboardPart = DashboardPart()
    monitors: tuple[Monitor, ...] = ()
    rules: tuple[LocalRule, ...] = ()
    channels: tuple[Channel, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What the environment says beside the file; it wins."""

    api_key: Secret | None = None
    server_url: str = ""
    server_name: str = ""


def read_config(file: Path | None, given: Given, variable: Callable[[str], str | None]) -> AgentConfig:
    """What the file says (None: there is none). `variable` gives the value of an environment variable that the file
    names. Raises SettingsError, a line for each thing that is wrong."""
    if file is None:
        return _made(_File(), given, (), (), (), ())
    document, warnings = _document(file)
    read, references, problems = resolved(document.data, variable, file.parent)
    data: Any = {} if read is None else _in_seconds(read, "", problems)
    return _read(file, data, (document, references, problems), given, warnings)


def folder_named(file: Path, variable: Callable[[str], str | None]) -> Path | None:
    """The data folder that a file names, whatever else is wrong with it; None when it names none. Raises SettingsError when
    that cannot be made out."""
    document, _ = _document(file)
    read, _, problems = resolved(document.data, variable, file.parent)
    named = (as_map(read) or {}).get("data_dir")
    if named is None and all(problem.field != "data_dir" for problem in problems):
        return None
    if not isinstance(named, str) or any(problem.field == "data_dir" for problem in problems):
        raise SettingsError(f"{file}: data_dir: expected a folder, found {found(named)}")
    return _folder(named)


def _folder(named: str) -> Path:
    return Path(named).expanduser().absolute()


def _read(
    file: Path, data: Any, source: tuple[strict_yaml.Document, dict[str, str], list[Problem]], given: Given,
    warnings: tuple[str, ...],
) -> AgentConfig:  # fmt: skip
    document, references, problems = source
    lost = [problem.field for problem in problems]  # what stands there now is not what is meant
    for path in [path for path in references if path in lost]:
        del references[path]
    written = _File()
    try:
        written = shape.read(_File, data)
    except Invalid as error:
        problems += error.problems
    lists = as_map(data) or {}
    monitors = read_monitors(as_list(lists.get("monitors")) or (), "monitors", problems)
    channels = _channels(as_list(lists.get("alerts")) or (), problems)
    rules = read_rules(as_list(lists.get("rules")) or (), {c.name: c.id for c in channels}, problems)
    made: AgentConfig | None = None
    if not problems:
        try:
            made = _made(written, given, monitors, rules, channels, warnings)
        except Invalid as error:
            problems += error.problems
    if made is None or problems:
        first = len(lost)
        problems[first:] = [problem for problem in problems[first:] if problem.field not in lost]
        raise SettingsError(_lines(file, problems, document, references))
    return made


def _made(
    written: _File, given: Given, monitors: Sequence[Monitor], rules: Sequence[LocalRule], channels: Sequence[Channel],
    warnings: tuple[str, ...],
) -> AgentConfig:  # fmt: skip
    """The values, checked against each other. Raises Invalid."""
    listed = written.server_url
    text = given.server_url or (listed if isinstance(listed, str) else ",".join(listed or ()))
    key = given.api_key or (Secret(written.api_key) if written.api_key else None)
    pin = written.server_pin
    return AgentConfig(
        api_key=key,
        urls=_urls(text, written.allow_plain),
        pin=None if pin is None else pin.lower().removeprefix("sha256:").replace(":", ""),
        ca=None if written.server_ca is None else _pem(written.server_ca),
        name=given.server_name or written.server_name or clip(socket.gethostname(), 100) or "host",
        data_dir=None if written.data_dir is None else _folder(written.data_dir),
        tags=tuple(written.tags),
        heartbeat_s=written.heartbeat_interval,
        push_s=written.metrics_push_interval,
        buffer_bytes=written.buffer_mb << 20,
        log_level=written.log_level,
        dashboard=written.dashboard,
        monitors=tuple(monitors),
        rules=tuple(rules),
        channels=tuple(channels),
        warnings=warnings,
    )


def _document(file: Path) -> tuple[strict_yaml.Document, tuple[str, ...]]:
    """What is written in the file, and what is odd about who can read it. Raises SettingsError."""
    source, warnings = _bytes_of(file)
    try:
        return strict_yaml.loads(source), warnings
    except Invalid as error:
        raise SettingsError(_lines(file, error.problems, None, {})) from None


def _bytes_of(file: Path) -> tuple[bytes, tuple[str, ...]]:
    """The file, and a warning when others may read or change it."""
    try:
        mode = file.stat().st_mode & 0o777
        with file.open("rb") as source:
            data = source.read(strict_yaml.MAX_BYTES + 1)
    except OSError as error:
        raise SettingsError(f"{file}: expected a file we can read, found {error.strerror}") from error
    wrong = "can be read" if mode & 0o004 else ""
    wrong = "can be changed" if mode & 0o022 else wrong
    says = f"{file} {wrong} by others on this machine (mode {mode:04o}); 0600 keeps its secrets"
    return data, (says,) if wrong else ()


def _in_seconds(data: Any, where: str, problems: list[Problem]) -> Any:
    """The data with each duration (by the name of its key) as a number of seconds."""
    items, entries = as_list(data), as_map(data)
    if items is not None:
        return [_in_seconds(item, f"{where}[{i}]", problems) for i, item in enumerate(items)]
    if entries is None:
        return data
    made: dict[Any, Any] = {}
    for key, value in entries.items():
        path = join(where, key)
        if (key in _DURATIONS or key.endswith(("_interval", "_timeout"))) and not isinstance(value, dict | list):
            lasting = seconds(value)
            if lasting is None and value is not None:
                problems.append(Problem(path, SAYS, found(value)))
            made[key] = lasting
        else:
            made[key] = _in_seconds(value, path, problems)
    return made


def _urls(text: str, plain: bool) -> tuple[str, ...]:
    made: list[str] = []
    for word in filter(None, (w.strip() for w in text.split(","))):
        try:
            url = urls.parse(word)
        except ValueError as error:
            raise Invalid(
                Problem("server_url", "a URL such as https://watch.example.org", f"one that {error}")
            ) from None
        if url.scheme == "http" and not plain and not _only_here(url.host):
            expected = "https:// (without TLS the key could be read on the way; allow_plain: true allows it)"
            raise Invalid(Problem("server_url", expected, clip(word, 100)))
        made.append(word.rstrip("/"))
    return tuple(dict.fromkeys(made))


def _only_here(host: str) -> bool:
    import ipaddress

    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _pem(path: str) -> str:
    try:
        text = Path(path).expanduser().read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError, RuntimeError) as error:
        raise Invalid(
            Problem("server_ca", "a file of certificates (PEM) that we can read", clip(str(error), 120))
        ) from None
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise Invalid(Problem("server_ca", "a file of certificates (PEM)", "none in it"))
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class _ChannelLine:
    """What each entry of `alerts` has, beside what its kind wants."""

    name: Annotated[str, Name, Length(1, 60)]
    type: Annotated[str, Length(1, 40)]
    enabled: bool = True


_CHANNEL_KEYS = ("name", "type", "enabled")


def _channels(lines: Sequence[Any], problems: list[Problem]) -> list[Channel]:
    made: list[Channel] = []
    for i, line in enumerate(lines):
        where = f"alerts[{i}]"
        entries = as_map(line)
        if entries is None:
            problems.append(Problem(where, "an object with a name and a type", found(line)))
            continue
        try:
            head = shape.read(_ChannelLine, {k: entries[k] for k in _CHANNEL_KEYS if k in entries}, where=where)
            channel = direct_channel(
                f"local:{head.name}", head.name, head.type,
                {k: v for k, v in entries.items() if k not in _CHANNEL_KEYS}, where=where,
            )  # fmt: skip
        except Invalid as error:
            problems += error.problems
            continue
        if any(other.name == head.name for other in made):
            problems.append(Problem(f"{where}.name", "a name of its own", found(head.name)))
        elif head.enabled:
            made.append(channel)
    return made


def direct_channel(id: str, name: str, type: str, config: dict[str, Any], *, where: str) -> Channel:
    """A channel that the agent tells by itself. Raises Invalid when its kind or configuration is wrong."""
    from tocsin import notifiers

    try:
        kind = notifiers.kind(type)
    except NotFound:
        raise Invalid(Problem(f"{where}.type", f"one of {', '.join(notifiers.names())}", found(type))) from None
    shape.read(kind.config, config, where=where)
    return Channel(
        id=id, workspace_id="", name=name, type=type, config=config, default=True, created_at=_EPOCH, updated_at=_EPOCH
    )


def _is_in(field: str, path: str) -> bool:
    return field == path or field.startswith((f"{path}.", f"{path}["))


def _lines(
    file: Path, problems: Sequence[Problem], document: strict_yaml.Document | None, references: Mapping[str, str]
) -> str:
    """A line for each problem: where, what was expected, what was found. What a reference stands for is never shown."""
    made: list[str] = []
    for problem in problems:
        line = document.line(problem.field) if document is not None else None
        place = f"{file}" + (f" line {line}" if line else "")
        hidden = next((text for path, text in references.items() if _is_in(problem.field, path)), None)
        seen = problem.found if hidden is None else f"{hidden} (its value is not shown)"
        where = f" {problem.field}:" if problem.field else ""
        made.append(f"{place}:{where} expected {problem.expected}, found {seen}")
    return "\n".join(made)
