"""Every knob, in one table. The only module that reads the environment and the settings file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import inf, isfinite
from pathlib import Path
from typing import Any, Literal, cast
from urllib.parse import quote, unquote, urlsplit

from tocsin.errors import SettingsError
from tocsin.secret import Secret

Kind = Literal["text", "path", "secret", "int", "number", "bool", "choice", "list"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One knob: `key` (TOCSIN_<KEY> in the environment, the lower-case key in the file), the names other systems use
    for it (with what one of their units is in ours), its default, its bounds, and one line of help."""

    key: str
    kind: Kind
    default: Any
    help: str
    also: tuple[tuple[str, float], ...] = ()
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()

    @property
    def variable(self) -> str:
        return "TOCSIN_" + self.key


def _s(key: str, kind: Kind, default: Any, help: str, *also: str | tuple[str, float], **more: Any) -> Setting:
    names = tuple((a, 1.0) if isinstance(a, str) else a for a in also)
    return Setting(key=key, kind=kind, default=default, help=help, also=names, **more)


SETTINGS: tuple[Setting, ...] = (
    _s("DATA_DIR", "path", None, "Folder for the database, the secret key and the spool. Default: ./data from a checkout, else the user data folder"),
    _s("DATABASE_PATH", "path", None, "The SQLite file itself, when it should not be tocsin.db in the data folder", "DATABASE_PATH"),
    _s("DATABASE_URL", "secret", None, "PostgreSQL as postgresql://user:password@host/name. Default: SQLite in the data folder"),
    _s("HOST", "text", "127.0.0.1", "Address to listen on"),
    _s("PORT", "int", 3001, "Port to listen on", low=0, high=65535),
    _s("BASE_URL", "text", "", "Where people reach this server, for links in messages and of other instances. Default: http://HOST:PORT"),
    _s("ALLOWED_HOSTS", "text", "", "Further names this server is opened by in browsers, separated by commas. The base URL's, localhost and addresses in numbers always are"),
    _s("TRUSTED_PROXIES", "int", 0, "How many reverse proxies stand in front and add to X-Forwarded-For and set X-Forwarded-Proto", low=0, high=10),
    _s("SECRET_KEY", "secret", None, "At least 32 characters; tokens and stored secrets use keys derived from it. Default: made at the first start, in secret.key in the data folder"),
    _s("MINIMUM_INTERVAL_S", "int", 60, "Smallest interval a monitor may have, seconds", low=1, high=86400),
    _s("DEFAULT_INTERVAL_S", "int", 60, "Interval of a monitor that names none, seconds", ("MONITORING_INTERVAL_MS", 0.001), low=1, high=86400),
    _s("CHECK_TIMEOUT_S", "number", 10, "Timeout of a monitor that names none, seconds", ("PING_TIMEOUT_MS", 0.001), low=0.1, high=300),
    _s("MAX_CONCURRENT_CHECKS", "int", 1000, "Checks in flight at once", "MAX_CONCURRENT_PINGS", low=1, high=20000),
    _s("MAX_CONCURRENT_PER_HOST", "int", 50, "Checks in flight at once against one host and port", low=1, high=20000),
    _s("LOCATION", "text", "local", "Name of the place this server checks from", "MONITORING_LOCATION", "INSTANCE_LOCATION"),
    _s("REGION_CODE", "text", "XX", "Region code of that place", "MONITORING_REGION_CODE"),
    _s("BROWSER", "path", None, "A Chromium (or Chrome) for browser checks, such as /usr/bin/chromium. Default: none, and such checks are not made"),
    _s("BROWSER_SANDBOX", "bool", True, "Whether that Chromium uses its own sandbox. Only root, or a container without user namespaces, has to do without"),
    _s("EGRESS", "choice", "private", "Whom checks and channels may contact: private (public, private and loopback addresses) or public (public addresses only). Own ports, link-local and cloud metadata are refused in both", choices=("private", "public")),
    _s("ANCHORS", "text", "", "Places that should always answer, separated by commas: https://…, tcp://HOST:PORT, ping://HOST, dns://SERVER/NAME. While this server reaches none of them, its failures count against nobody"),
    _s("PLUGIN_DIR", "path", None, "Folder of Nagios plugins that nagios checks may run. Whoever may write monitors may then run them with any arguments. Default: none, and such checks are refused"),
    _s("DOCKER_SOCKET", "path", None, "Socket of the Docker Engine that docker checks may ask about containers, such as /var/run/docker.sock. Default: none, and such checks need a url"),
    _s("PROBE_HOST", "text", "0.0.0.0", "Address at which a probe that has a key listens"),  # noqa: S104
    _s("PROBE_PORT", "int", 3000, "Port at which a probe listens. Without TOCSIN_PROBE_KEY it does so only where this is set, and answers /health to this machine alone", low=0, high=65535),
    _s("PROBE_KEY", "secret", None, "Key of at least 16 characters by which a server may ask this probe, or two with a comma between while one takes the place of the other. Without one it does not listen to others"),
    _s("PROBE_JOIN", "secret", None, "URL#token of a server that this probe is to join, as --join takes it. Once it has, it needs no token any more"),
    _s("PROBE_ALLOW", "text", "", "Addresses and networks that may ask this probe, separated by commas, such as 192.0.2.7, 10.0.0.0/8. Default: any that has the key"),
    _s("PROBE_CERT", "path", None, "Certificate (PEM, with its chain) that a probe shows. Default: one of its own, made at the first start, known by its fingerprint"),
    _s("PROBE_CERT_KEY", "path", None, "Private key of that certificate (PEM), when it is not in the same file"),
    _s("PROBE_PLAIN", "bool", False, "Whether a probe speaks with other machines without TLS too: only behind a proxy that does it, or in a network that nobody else can listen to"),
    _s("AGENT_CONFIG", "path", Path("/etc/tocsin/agent.yaml"), "The agent's own file (YAML); the agent does without one when there is none at this place"),
    _s("API_KEY", "secret", None, "Key by which an agent enrols at its first start, as the page Hosts shows it once. Wins over api_key in its file", "API_KEY"),
    _s("SERVER_URL", "text", "", "Where an agent's server is, such as https://watch.example.org; several with commas between. Wins over server_url in its file"),
    _s("SERVER_NAME", "text", "", "What an agent calls its host. Wins over server_name in its file. Default: the host name"),
    _s("SMTP_URL", "secret", None, "Mail server for e-mail channels that name none: smtp://user:password@host:587?from=tocsin@example.org (smtps:// for TLS from the start)"),
    _s("RETENTION_DAYS", "int", 90, "How long single results are kept, days", low=1, high=3650),
    _s("CONSENSUS_DAYS", "int", 90, "How long is kept what the locations of a monitor agreed on at each tick, days", low=1, high=3650),
    _s("DB_RETRY_ATTEMPTS", "int", 3, "Tries of one use of the database", "DB_RETRY_ATTEMPTS", low=1, high=10),
    _s("DB_RETRY_DELAY_MS", "int", 1000, "Wait after the first failed try, doubled each time, ms", "DB_RETRY_DELAY_MS", low=1, high=60000),
    _s("ENABLE_SYNC_API", "bool", False, "Makes this server one of several, as TOCSIN_PRIMARY_SYNC_URL or TOCSIN_WITNESS alone do, too. Without TOCSIN_PRIMARY_SYNC_URL it begins as their primary. Later the stored membership counts", "ENABLE_SYNC_API"),
    _s("SYNC_API_PORT", "int", 3002, "Port of the sync API", "SYNC_API_PORT", low=0, high=65535),
    _s("SYNC_HOST", "text", "", "Address that the sync API listens on. Default: TOCSIN_HOST"),
    _s("PRIMARY_SYNC_URL", "text", "", "Where the sync API of an instance is that lets this one in, such as https://watch.example.org:3002. Used once: later the stored membership counts", "PRIMARY_SYNC_URL"),
    _s("SYNC_SECRET", "secret", None, "What instances show each other when one registers: the same at all of them, at least 16 characters", "SYNC_SECRET"),
    _s("SYNC_SECRET_BEFORE", "secret", None, "The secret that TOCSIN_SYNC_SECRET takes the place of: it counts too until all have the new one and this is taken away"),
    _s("SYNC_CLIENT_CA", "path", None, "Authorities (PEM) whose certificates let an instance register, beside the shared secret or in its place. Read at the start"),
    _s("SYNC_CLIENT_CERT", "path", None, "Certificate (PEM, with its chain) that this server shows when it registers with another one"),
    _s("SYNC_CLIENT_KEY", "path", None, "Private key of that certificate (PEM), when it is not in the same file"),
    _s("PRIMARY_SYNC_FINGERPRINT", "text", "", "SHA-256 of the certificate that the instance to join shows, as its page Instances says it. Needed when there is no shared secret"),
    _s("SYNC_URL", "text", "", "Where the others reach the sync API of this server. Without it this server only observes: it never votes and cannot become primary"),
    _s("WITNESS", "bool", False, "Whether this server only votes: it keeps no data, checks nothing and is never primary. Set before it joins"),
    _s("INSTANCE_NAME", "text", "", "Name of this server among several. Default: its host name", "INSTANCE_NAME"),
    _s("FAILOVER_ORDER", "int", 99, "Who stands first when the primary is lost: the least", "FAILOVER_ORDER", low=0, high=9999),
    _s("HEARTBEAT_INTERVAL_S", "int", 60, "How often an instance reports how it is, seconds. Leases beat every 5 s, or as often as this", "HEARTBEAT_INTERVAL", low=1, high=3600),
    _s("CONNECTION_TIMEOUT_S", "int", 10, "How long another instance may take to answer when this one registers, seconds", "CONNECTION_TIMEOUT", low=1, high=300),
    _s("LOG_LEVEL", "choice", "info", "How much is logged", choices=("debug", "info", "warning", "error")),
    _s("LOG_FORMAT", "choice", "text", "text for people, json for collectors", choices=("text", "json")),
    _s("METRICS_TOKEN", "secret", None, "Token for /metrics beside sign-in and API keys. On loopback without a proxy /metrics needs it too"),
    _s("LOGIN_ATTEMPTS_PER_MINUTE", "int", 10, "Sign-in attempts per account and per address in a minute", low=1, high=1000),
    _s("REQUESTS_PER_MINUTE", "int", 3000, "API requests per caller in a minute", low=10, high=1000000),
    _s("CONNECTIONS_PER_ADDRESS", "int", 50, "Open connections from one client address (an IPv6 /64 is one); 0 for any number. Not for loopback, nor with TRUSTED_PROXIES, where the proxy has to limit", low=0, high=100000),
)  # fmt: skip
_BY_KEY = {s.key: s for s in SETTINGS}


def shown(value: Any) -> str:
    """A value as it is written in the environment: true and false for what is one of them."""
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True, slots=True)
class Settings:
    """Values of every setting, and where each came from (default, environment, file) for `tocsin doctor`."""

    values: Mapping[str, Any]
    sources: Mapping[str, str]

    def __getitem__(self, key: str) -> Any:
        return self.values[key]

    @property
    def data_dir(self) -> Path:
        return self.values["DATA_DIR"]

    @property
    def database_file(self) -> Path | None:
        """The SQLite file, or None when the database is elsewhere."""
        if self["DATABASE_URL"] is None:
            return self["DATABASE_PATH"] or self.data_dir / "tocsin.db"
        url = self["DATABASE_URL"].reveal()
        return Path(unquote(url.removeprefix("sqlite:///"))) if url.startswith("sqlite:///") else None

    @property
    def database_url(self) -> str:
        """Where the database is; a PostgreSQL URL holds its password, so this is for the store's eyes only."""
        given = self["DATABASE_URL"]
        return given.reveal() if given else f"sqlite:///{quote(str(self.database_file))}"

    @property
    def base_url(self) -> str:
        host = self["HOST"]
        shown = "127.0.0.1" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host  # noqa: S104
        return (self["BASE_URL"] or f"http://{shown}:{self['PORT']}").rstrip("/")

    def reached_at(self, port: int) -> str:
        """`base_url` of a server that listens on this port, which the system chose when PORT is 0."""
        return self.base_url if self["BASE_URL"] else self.base_url.removesuffix(f":{self['PORT']}") + f":{port}"


def read(environment: Mapping[str, str] | None = None, file: Path | None = None) -> Settings:
    """The settings: the environment wins over the file (`file`, else the one TOCSIN_CONFIG names), the file over the
    defaults. Raises SettingsError for unknown names and values that do not fit, each on a line of its own that names the
    key, what was expected and what was found; or for a file that is not TOML."""
    env = os.environ if environment is None else environment
    wrong: dict[str, str] = {}
    given = _given(env, file, wrong)
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for s in SETTINGS:
        values[s.key], sources[s.key] = s.default, "default"
        if s.key in given:
            value, source, name = given[s.key]
            sources[s.key] = name if source != "environment" else f"environment ({name})"
            try:
                values[s.key] = _fit(s, value, name)
            except SettingsError as error:
                wrong[s.key] = str(error)
    if values["DATA_DIR"] is None:
        values["DATA_DIR"] = default_data_dir(env)
    for key, problem in _agree(values, {s.key: given[s.key][2] if s.key in given else s.variable for s in SETTINGS}):
        if not wrong.keys() & {key, *_BOUND_TO.get(key, ())}:
            wrong[key] = problem
    if wrong:
        raise SettingsError("\n".join(wrong.values()))
    return Settings(values, sources)


def _given(env: Mapping[str, str], file: Path | None, wrong: dict[str, str]) -> dict[str, tuple[Any, str, str]]:
    """By key: the value as it was given, where it comes from, and what it is called there. What is wrong with the names
    and units goes into `wrong`."""
    if file is None and env.get("TOCSIN_CONFIG"):
        file = _path(env["TOCSIN_CONFIG"], "TOCSIN_CONFIG")
    given: dict[str, tuple[Any, str, str]] = {}
    if file is not None:
        for name, value in _from_file(file, wrong).items():
            given[name.upper()] = (value, str(file), f"{file}: {name}")
    known = {s.variable: (s.key, 1.0) for s in SETTINGS} | {n: (s.key, unit) for s in SETTINGS for n, unit in s.also}
    for name in sorted(known, key=lambda n: n.startswith("TOCSIN_")):
        if name in env and env[name] != "":
            key, unit = known[name]
            try:
                given[key] = (_in_our_unit(name, key, env[name], unit), "environment", name)
                wrong.pop(key, None)
            except SettingsError as error:
                wrong[key] = str(error)
    for name in env:
        if name.startswith("TOCSIN_") and name not in known and name not in ("TOCSIN_CONFIG",):
            wrong[name] = _unknown(name, list(known))
    return given


def variable(name: str, environment: Mapping[str, str] | None = None) -> str | None:
    """What an environment variable that a file of the operator's names holds; None when there is none."""
    return (os.environ if environment is None else environment).get(name)


def default_data_dir(env: Mapping[str, str]) -> Path:
    """./data in a checkout of ours, else the user's data folder."""
    here = Path.cwd()
    if (here / "pyproject.toml").is_file() and (here / "src" / "tocsin").is_dir():
        return here / "data"
    home = Path(env.get("HOME") or Path.home())
    return Path(env.get("XDG_DATA_HOME") or home / ".local" / "share") / "tocsin"


def _from_file(file: Path, wrong: dict[str, str]) -> dict[str, Any]:
    """What the table [tocsin] says; names that are no settings go into `wrong`."""
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{file}: expected a readable TOML file, found {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{file}: expected TOML in UTF-8, found a wrong byte at position {error.start}") from None
    import tomllib  # only for who has such a file

    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{file}: expected TOML, found an error: {error}") from error
    section: Any = table.get("tocsin")
    if not isinstance(section, dict) or len(table) != 1:
        raise SettingsError(f"{file}: expected one table [tocsin], found {', '.join(table) or 'nothing'}")
    names = cast("dict[str, Any]", section)
    strange = {name for name in names if name != name.lower() or name.upper() not in _BY_KEY}
    for name in strange:
        wrong[f"{file}: {name}"] = f"{file}: " + _unknown(name, [k.lower() for k in _BY_KEY])
    return {name: value for name, value in names.items() if name not in strange}


def _unknown(name: str, known: list[str]) -> str:
    from difflib import get_close_matches  # only for who mistyped

    near = get_close_matches(name, known, 1)
    return f"{name}: expected a known setting, found none of that name" + (
        f" (did you mean {near[0]}?)" if near else ""
    )


def _in_our_unit(name: str, key: str, text: str, unit: float) -> Any:
    if unit == 1.0:
        return text
    try:
        value = float(text) * unit
    except ValueError:
        value = inf
    if not isfinite(value):
        raise SettingsError(f"{name}: expected a number of milliseconds, found {text!r}")
    if value != int(value) and _BY_KEY[key].kind == "int":
        raise SettingsError(f"{name}: expected whole seconds as milliseconds, such as 5000, found {text!r}")
    return str(int(value)) if value == int(value) else str(value)


def _fit(s: Setting, value: Any, name: str) -> Any:
    def wrong(expected: str) -> SettingsError:
        return SettingsError(f"{name}: expected {expected}, found {'***' if s.kind == 'secret' else repr(value)}")

    if s.kind in ("int", "number"):
        if isinstance(value, str):
            try:
                value = int(value) if s.kind == "int" else float(value)
            except ValueError:
                raise wrong("a whole number" if s.kind == "int" else "a number") from None
        number = isinstance(value, int) if s.kind == "int" else isinstance(value, (int, float))
        if not number or isinstance(value, bool) or value != value:
            raise wrong("a whole number" if s.kind == "int" else "a number")
        if (s.low is not None and value < s.low) or (s.high is not None and value > s.high):
            raise wrong(f"a number from {s.low} to {s.high}" if s.high is not None else f"at least {s.low}")
        return value
    if s.kind == "bool":
        words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        if isinstance(value, bool):
            return value
        if not isinstance(value, str) or value.lower() not in words:
            raise wrong("true or false")
        return words[value.lower()]
    if not isinstance(value, str):
        raise wrong("text")
    if s.kind == "choice" and value not in s.choices:
        raise wrong(" or ".join(s.choices))
    if s.kind == "secret":
        return Secret(value)
    return _path(value, name).absolute() if s.kind == "path" else value


def _path(text: str, name: str) -> Path:
    try:
        return Path(text).expanduser()
    except (RuntimeError, ValueError):  # nobody of that name, or a name that none can be
        raise SettingsError(f"{name}: expected after ~ the name of a user who has a home, found {text!r}") from None


def _agree(values: dict[str, Any], names: dict[str, str]) -> Iterator[tuple[str, str]]:
    """(key, problem) of what one setting says of another, and of what a kind alone cannot say; `names` are what each was
    given as."""

    def wrong(key: str, expected: str, seen: str) -> tuple[str, str]:
        return key, f"{names[key]}: expected {expected}, found {seen}"

    if values["DEFAULT_INTERVAL_S"] < values["MINIMUM_INTERVAL_S"]:
        least = f"at least {names['MINIMUM_INTERVAL_S']} ({values['MINIMUM_INTERVAL_S']})"
        yield wrong("DEFAULT_INTERVAL_S", least, values["DEFAULT_INTERVAL_S"])
    if not values["LOCATION"].strip():
        yield wrong("LOCATION", "a name", "nothing")
    key = values["SECRET_KEY"]
    if key is not None and len(key.reveal()) < 32:
        yield wrong("SECRET_KEY", "at least 32 characters", "fewer")
    for key in ("SYNC_SECRET", "SYNC_SECRET_BEFORE"):
        if values[key] is not None and len(values[key].reveal()) < 16:
            yield wrong(key, "at least 16 characters", "fewer")
    if values["SYNC_SECRET_BEFORE"] is not None and values["SYNC_SECRET"] is None:
        yield wrong("SYNC_SECRET_BEFORE", f"{names['SYNC_SECRET']} beside it", "the one before alone")
    if (first := values["PRIMARY_SYNC_URL"]) and not first.startswith("https://"):
        yield wrong("PRIMARY_SYNC_URL", "an https:// URL (the sync API speaks TLS)", repr(first))
    pin = values["PRIMARY_SYNC_FINGERPRINT"].replace(":", "").lower()
    if pin and (len(pin) != 64 or not set(pin) <= set("0123456789abcdef")):
        yield wrong("PRIMARY_SYNC_FINGERPRINT", "64 hexadecimal digits", repr(values["PRIMARY_SYNC_FINGERPRINT"]))
    if values["SYNC_CLIENT_KEY"] and not values["SYNC_CLIENT_CERT"]:
        yield wrong("SYNC_CLIENT_KEY", f"{names['SYNC_CLIENT_CERT']} beside it", "a key alone")
    url = values["DATABASE_URL"]
    if url is not None and not url.reveal().startswith(("postgresql://", "postgres://", "sqlite:")):
        yield wrong("DATABASE_URL", "postgresql://… or sqlite:///path", "another scheme")
    elif url is not None and url.reveal().startswith("sqlite:") and not _is_absolute(url.reveal()):
        yield wrong("DATABASE_URL", "an absolute path (sqlite:////…)", repr(url.reveal()))
    mail = values["SMTP_URL"]
    if mail is not None and not _is_mail_server(mail.reveal()):
        yield wrong("SMTP_URL", "smtp://user:password@host:587 or smtps://…", "another form")
    for host in filter(None, (word.strip() for word in values["ALLOWED_HOSTS"].split(","))):
        if "/" in host or " " in host:
            yield wrong("ALLOWED_HOSTS", "names such as watch.example.org", repr(host))
    if values["BASE_URL"] and not _is_web_address(values["BASE_URL"]):
        yield wrong("BASE_URL", "an http:// or https:// URL without query", repr(values["BASE_URL"]))


_BOUND_TO = {"DEFAULT_INTERVAL_S": ("MINIMUM_INTERVAL_S",)}
"""What a setting's problem is told by: when one of these is wrong itself, nothing can be said."""


def _is_absolute(url: str) -> bool:
    """Whether a sqlite: URL names a file by its whole path."""
    return url.startswith("sqlite:///") and unquote(url.removeprefix("sqlite:///")).startswith("/")


def _is_mail_server(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("smtp", "smtps") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _is_web_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        port_is_sound = parts.port != 0
    except ValueError:
        return False
    sound = text.isprintable() and " " not in text and "\\" not in text
    bare = not (parts.query or parts.fragment or "@" in parts.netloc or "?" in text or "#" in text)
    return parts.scheme in ("http", "https") and bool(parts.hostname) and port_is_sound and sound and bare
