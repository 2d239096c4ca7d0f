"""Every metric name we export, and the log set-up. Nothing else names a metric."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from functools import partial
from json import dumps
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class _Metric:
    """A metric that is made when it is first used: a process that counts nothing does not load what counts."""

    def __init__(self, kind: str, *given: Any, registry: _Registry, **more: Any) -> None:
        self.how, self._registry = (kind, given, more), registry
        registry.metrics.append(self)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._registry.make(self.how), name)
        if callable(found):
            setattr(self, name, found)  # from now on it costs nothing more
        return found


class _Registry:
    """All metrics; real ones as soon as somebody asks for them."""

    def __init__(self) -> None:
        self.metrics: list[_Metric] = []
        self.idle = False
        self._made: dict[str, Any] = {}
        self._real: Any = None
        self._lock = Lock()

    def make(self, how: tuple[str, tuple[Any, ...], dict[str, Any]]) -> Any:
        """The real metric."""
        kind, given, more = how
        if self.idle:
            return _NOTHING
        with self._lock:
            if given[0] not in self._made:
                import prometheus_client  # 5 MB

                self._real = self._real or prometheus_client.CollectorRegistry()
                self._made[given[0]] = getattr(prometheus_client, kind)(*given, registry=self._real, **more)
            return self._made[given[0]]

    def __getattr__(self, name: str) -> Any:
        for metric in self.metrics:
            self.make(metric.how)
        return getattr(self._real, name)


class _Nothing:
    """Counts nothing."""

    def __call__(self, *_: Any, **__: Any) -> _Nothing:
        return self

    labels = inc = dec = set = observe = __call__


_NOTHING = _Nothing()
if not TYPE_CHECKING:
    REGISTRY = _Registry()
    Counter, Gauge, Histogram = (partial(_Metric, kind) for kind in ("Counter", "Gauge", "Histogram"))
else:
    REGISTRY = CollectorRegistry()


def count_nothing() -> None:
    """Let no metric count: for a process that shows none. To be called before anything is counted."""
    registry: Any = REGISTRY
    registry.idle = True


http_requests = Counter(
    "http_requests_total", "HTTP requests answered", ["method", "route", "status"], registry=REGISTRY
)
http_seconds = Histogram(
    "http_request_duration_seconds", "Time to answer", ["method", "route"], registry=REGISTRY,
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)  # fmt: skip
checks = Counter("monitor_checks_total", "Checks finished", ["type", "status"], registry=REGISTRY)
check_ms = Histogram(
    "monitor_check_duration_milliseconds", "Time of a check as its target took it", ["type"], registry=REGISTRY,
    buckets=(1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000),
)  # fmt: skip
check_errors = Counter(
    "tocsin_check_errors_total", "Checks that were not up, by error type", ["error"], registry=REGISTRY
)
checks_invalid = Counter(
    "tocsin_checks_invalid_total", "Checks that could not be judged fairly", ["cause"], registry=REGISTRY
)
self_test_failed = Gauge(
    "tocsin_self_test_failed", "1 while this location doubts its own resolver, route or clock", registry=REGISTRY
)
probes_missed = Counter(
    "tocsin_probes_missed_total",
    "Looks after a probe that it did not answer as it should",
    ["cause"],
    registry=REGISTRY,
)
probes_denied = Counter(
    "tocsin_probes_denied_total", "Probes that were not let in: keys and join tokens that do not count", ["cause"],
    registry=REGISTRY,
)  # fmt: skip
agents_denied = Counter(
    "tocsin_agents_denied_total", "Agents that were not let in or not listened to", ["cause"], registry=REGISTRY
)
agent_samples = Counter("tocsin_agent_samples_total", "Values that agents brought", registry=REGISTRY)
probes_lost = Gauge("tocsin_probes_lost", "Locations whose probe is lost", registry=REGISTRY)
probe_seconds = Histogram(
    "tocsin_probe_seconds", "Time a probe took to say how it is", registry=REGISTRY,
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)  # fmt: skip
active_monitors = Gauge("active_monitors", "Monitors that are not paused", registry=REGISTRY)
active_incidents = Gauge("active_incidents", "Open incidents", registry=REGISTRY)
scheduler_lateness = Histogram(
    "tocsin_scheduler_lateness_seconds", "How late checks start", registry=REGISTRY,
    buckets=(0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 15, 60),
)  # fmt: skip
scheduler_waiting = Gauge("tocsin_scheduler_waiting", "Checks that are due and not started", registry=REGISTRY)
checks_running = Gauge("tocsin_checks_running", "Checks in flight", registry=REGISTRY)
slots_missed = Counter("tocsin_slots_missed_total", "Slots that passed without a check", registry=REGISTRY)
faults = Counter("tocsin_faults_total", "Faults of our own that a loop survived", ["part"], registry=REGISTRY)
loop_lag = Gauge("tocsin_event_loop_lag_seconds", "Latest measured lag of the event loop", registry=REGISTRY)
loop_lag_max = Gauge("tocsin_event_loop_lag_max_seconds", "Largest lag of the last minute", registry=REGISTRY)
intake_results = Counter("tocsin_intake_results_total", "Results taken in", registry=REGISTRY)
results_set_aside = Counter(
    "tocsin_results_set_aside_total", "Results kept without a judgement, or not at all, for a fault", registry=REGISTRY
)
intake_seconds = Histogram(
    "tocsin_intake_batch_seconds", "Time from a batch's first result to its commit", registry=REGISTRY,
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
)  # fmt: skip
store_queue = Gauge("tocsin_store_queue_rows", "Rows waiting for the writer", registry=REGISTRY)
store_commits = Counter("tocsin_store_commits_total", "Transactions committed by the writer", registry=REGISTRY)
peers_lost = Counter(
    "tocsin_cluster_peers_lost_total", "Messages to other instances that were not answered", registry=REGISTRY
)
registrations = Counter(
    "tocsin_cluster_registrations_total",
    "Instances that wanted to register, by what came of it",
    ["outcome"],
    registry=REGISTRY,
)
cluster_alarms = Counter(
    "tocsin_cluster_alarms_total",
    "What may be an attack, or an instance that runs twice, by kind",
    ["kind"],
    registry=REGISTRY,
)
sync_requests = Counter("tocsin_sync_requests_total", "Requests to the sync API", ["status"], registry=REGISTRY)
stale_epochs = Counter("tocsin_cluster_stale_epochs_total", "Requests of an epoch that is over", registry=REGISTRY)
store_errors = Counter("tocsin_store_errors_total", "Failed uses of the database", registry=REGISTRY)
breaker_state = Gauge("tocsin_store_breaker_state", "0 closed, 1 half-open, 2 open", registry=REGISTRY)
spool_batches = Gauge("tocsin_spool_batches", "Batches on disk that the database does not have yet", registry=REGISTRY)
notifications = Counter(
    "tocsin_notifications_total", "Attempts to deliver", ["channel_type", "outcome"], registry=REGISTRY
)
messages_dropped = Counter(
    "tocsin_messages_dropped_total", "Messages not told for having the key of another one", registry=REGISTRY
)
outbox_pending = Gauge("tocsin_outbox_pending", "Messages not delivered yet", registry=REGISTRY)
outbox_age = Gauge("tocsin_outbox_oldest_seconds", "Age of the oldest message not delivered yet", registry=REGISTRY)
delivery_seconds = Histogram(
    "tocsin_delivery_seconds", "From the intent to the receipt", ["channel_type"], registry=REGISTRY,
    buckets=(0.05, 0.1, 0.15, 0.3, 0.5, 1, 2.5, 5, 15, 60, 300),
)  # fmt: skip
digests = Counter("tocsin_digests_total", "Digests made in place of many messages", registry=REGISTRY)
canaries = Counter(
    "tocsin_canaries_total", "Test messages on a schedule", ["channel_type", "outcome"], registry=REGISTRY
)
canary_seconds = Histogram(
    "tocsin_canary_seconds", "From the intent of a test message on a schedule to its receipt", ["channel_type"],
    registry=REGISTRY, buckets=(0.05, 0.1, 0.3, 0.5, 1, 2.5, 5, 15, 60, 300),
)  # fmt: skip
probe_requests = Counter(
    "tocsin_probe_requests_total", "Requests to this probe, by what became of them", ["outcome"], registry=REGISTRY
)
probe_jobs = Counter(
    "tocsin_probe_jobs_total", "Orders this probe was given, by how they ended", ["status"], registry=REGISTRY
)
probe_linked = Gauge("tocsin_probe_linked", "1 while this probe has its link to a server", registry=REGISTRY)
probe_buffered = Gauge("tocsin_probe_buffered", "Results this probe keeps until a server takes them", registry=REGISTRY)
probe_dropped = Counter(
    "tocsin_probe_dropped_total", "Results this probe had to drop for want of room", registry=REGISTRY
)
probe_asked_seconds = Histogram(
    "tocsin_probe_asked_seconds", "From an order to its answer, as the server sees it", ["mode"], registry=REGISTRY,
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)  # fmt: skip
probe_lost = Counter(
    "tocsin_probe_lost_total",
    "Orders that a probe could not be asked to carry out",
    ["mode", "cause"],
    registry=REGISTRY,
)
probe_links = Gauge("tocsin_probe_links", "Probes that are linked to this server", registry=REGISTRY)
probe_messages_refused = Counter(
    "tocsin_probe_messages_refused_total",
    "What probes said over a link and cannot be used",
    ["cause"],
    registry=REGISTRY,
)
probe_late = Counter(
    "tocsin_probe_late_results_total", "Results that came when nobody waited any more", registry=REGISTRY
)
live_subscribers = Gauge("tocsin_live_subscribers", "Open live connections", registry=REGISTRY)
live_dropped = Counter("tocsin_live_dropped_total", "Live connections ended for being too slow", registry=REGISTRY)


class Log:
    """A logger whose events are dotted names with fields: `log.info("intake.incident_opened", incident=id)`.

    `exc_info=` takes an exception, or True for the one being handled."""

    __slots__ = ("_to",)

    def __init__(self, name: str) -> None:
        self._to = logging.getLogger(name)

    def debug(self, event: str, **fields: Any) -> None:
        """Of use to who looks for a fault."""
        self._write(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """All is well; something happened."""
        self._write(logging.INFO, event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Somebody should know."""
        self._write(logging.WARNING, event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Something of ours failed."""
        self._write(logging.ERROR, event, fields)

    def exception(self, event: str, **fields: Any) -> None:
        """Something of ours failed; with the traceback of the exception being handled."""
        self._write(logging.ERROR, event, {"exc_info": True} | fields)

    def _write(self, level: int, event: str, fields: dict[str, Any]) -> None:
        if self._to.isEnabledFor(level):
            exc_info = fields.pop("exc_info", None)
            self._to.log(level, event, exc_info=exc_info, extra={"fields": fields})


def logger(name: str) -> Log:
    """The logger of a module."""
    return Log(name)


class _Lines(logging.Formatter):
    """A record as one JSON object a line, or as text for people. Records of libraries have no fields of their own."""

    def __init__(self, *, json: bool, colours: bool = False) -> None:
        super().__init__()
        self._json, self._colours = json, colours

    def format(self, record: logging.LogRecord) -> str:
        event, level = record.getMessage(), record.levelname.lower()
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        fields: dict[str, Any] = getattr(record, "fields", {})
        traceback = self.formatException(record.exc_info) if record.exc_info and record.exc_info[0] else ""
        if self._json:
            seen = {"timestamp": at, "level": level, "event": event, "logger": record.name} | fields
            return dumps(seen | {"exception": traceback} if traceback else seen, default=str)
        colour = _COLOURS.get(record.levelno, "") if self._colours else ""
        said = " ".join(f"{name}={_shown(value)}" for name, value in fields.items())
        line = f"{at} {colour}{level:<8}{_NO_COLOUR if colour else ''} {event:<30} {said}".rstrip()
        return f"{line}\n{traceback}" if traceback else line


_COLOURS = {logging.WARNING: "\x1b[33m", logging.ERROR: "\x1b[31m", logging.CRITICAL: "\x1b[31m"}
_NO_COLOUR = "\x1b[0m"


def _shown(value: object) -> str:
    """A value on one line, in quotes when it is more than a plain word."""
    text = str(value)
    return text if text.isprintable() and text and not set(" '\"=") & set(text) else repr(text)


def set_up_logging(level: str = "info", *, json: bool = False, error_file: Path | None = None) -> None:
    """Send logs to stderr (and errors to a rotating file when named). Secrets print as `***`, and no traceback shows
    the values of variables."""
    to_people = logging.StreamHandler(sys.stderr)
    to_people.setFormatter(_Lines(json=json, colours=sys.stderr.isatty()))
    handlers: list[logging.Handler] = [to_people]
    if error_file is not None:
        from logging.handlers import RotatingFileHandler  # heavy, and a file is not asked for by an agent

        to_file = RotatingFileHandler(
            error_file, maxBytes=5_000_000, backupCount=3, delay=True, encoding="utf-8", errors="backslashreplace"
        )
        to_file.setLevel(logging.ERROR)
        to_file.setFormatter(_Lines(json=json))
        handlers.append(to_file)
    root = logging.getLogger()
    root.handlers[:] = handlers
    root.setLevel(level.upper())
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)  # the server logs its own start and stop
