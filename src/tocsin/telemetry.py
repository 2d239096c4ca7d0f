"""Every metric name we export, and the log set-up. Nothing else names a metric."""

from __future__ import annotations

import logging
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()

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
active_monitors = Gauge("active_monitors", "Monitors that are not paused", registry=REGISTRY)
active_incidents = Gauge("active_incidents", "Open incidents", registry=REGISTRY)
scheduler_lateness = Histogram(
    "tocsin_scheduler_lateness_seconds", "How late checks start", registry=REGISTRY,
    buckets=(0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 15, 60),
)  # fmt: skip
scheduler_waiting = Gauge("tocsin_scheduler_waiting", "Checks that are due and not started", registry=REGISTRY)
checks_running = Gauge("tocsin_checks_running", "Checks in flight", registry=REGISTRY)
slots_missed = Counter("tocsin_slots_missed_total", "Slots that passed without a check", registry=REGISTRY)
loop_lag = Gauge("tocsin_event_loop_lag_seconds", "Latest measured lag of the event loop", registry=REGISTRY)
loop_lag_max = Gauge("tocsin_event_loop_lag_max_seconds", "Largest lag of the last minute", registry=REGISTRY)
intake_results = Counter("tocsin_intake_results_total", "Results taken in", registry=REGISTRY)
intake_seconds = Histogram(
    "tocsin_intake_batch_seconds", "Time from a batch's first result to its commit", registry=REGISTRY,
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
)  # fmt: skip
store_queue = Gauge("tocsin_store_queue_rows", "Rows waiting for the writer", registry=REGISTRY)
store_commits = Counter("tocsin_store_commits_total", "Transactions committed by the writer", registry=REGISTRY)
store_errors = Counter("tocsin_store_errors_total", "Failed uses of the database", registry=REGISTRY)
breaker_state = Gauge("tocsin_store_breaker_state", "0 closed, 1 half-open, 2 open", registry=REGISTRY)
spool_batches = Gauge("tocsin_spool_batches", "Batches on disk that the database does not have yet", registry=REGISTRY)
notifications = Counter(
    "tocsin_notifications_total", "Attempts to deliver", ["channel_type", "outcome"], registry=REGISTRY
)
outbox_pending = Gauge("tocsin_outbox_pending", "Messages not delivered yet", registry=REGISTRY)
outbox_age = Gauge("tocsin_outbox_oldest_seconds", "Age of the oldest message not delivered yet", registry=REGISTRY)
delivery_seconds = Histogram(
    "tocsin_delivery_seconds", "From the intent to the receipt", ["channel_type"], registry=REGISTRY,
    buckets=(0.05, 0.1, 0.15, 0.3, 0.5, 1, 2.5, 5, 15, 60, 300),
)  # fmt: skip
live_subscribers = Gauge("tocsin_live_subscribers", "Open live connections", registry=REGISTRY)
live_dropped = Counter("tocsin_live_dropped_total", "Live connections ended for being too slow", registry=REGISTRY)


def set_up_logging(level: str = "info", *, json: bool = False, error_file: Path | None = None) -> None:
    """Send structured logs to stderr (and errors to a rotating file when named). Secrets print as `***`."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    tty = sys.stderr.isatty()
    renderer: Any = (
        structlog.processors.JSONRenderer(default=str)
        if json
        else structlog.dev.ConsoleRenderer(
            colors=tty,
            exception_formatter=structlog.dev.plain_traceback,  # the prettier ones print local variables, secrets and all
        )
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *([structlog.processors.format_exc_info] if json else []),
            renderer,
        ],
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        cache_logger_on_first_use=True,
    )
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if error_file is not None:
        to_file = RotatingFileHandler(error_file, maxBytes=5_000_000, backupCount=3, delay=True)
        to_file.setLevel(logging.ERROR)
        handlers.append(to_file)
    for handler in handlers:
        handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = handlers
    root.setLevel(level.upper())
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)  # the server logs its own start and stop


def logger(name: str) -> Any:
    """A logger whose events are dotted names with fields: `log.info("intake.incident_opened", incident=id)`."""
    return structlog.stdlib.get_logger(name)
