"""Forms made from a type, and what was typed as plain data again."""

from __future__ import annotations

import json

import pytest

from tocsin import checks, notifiers
from tocsin.core.shape import dump, fields, read
from tocsin.errors import Invalid
from tocsin.web.pages import form, view

TARGETS = {
    "http": {"url": "https://shop.example/"},
    "tcp": {"host": "db.example", "port": 5432},
    "tls": {"host": "shop.example", "port": 443},
    "dns": {"name": "shop.example"},
    "smtp": {"host": "mail.example", "port": 25},
    "redis": {"host": "cache.example", "password": "s3cret", "database": 3, "role": "replica"},
    "postgres": {"host": "db.example", "user": "watcher", "query": "SELECT 1", "expect": "1"},
    "mysql": {"host": "db.example", "user": "watcher", "database": "shop", "tls": True},
    "mongodb": {"host": "db.example", "user": "watcher", "password": "s3cret", "role": "secondary"},
    "ping": {"host": "192.0.2.7"},
    "push": {"schedule": "30 2 * * 1-5", "timezone": "Europe/Berlin", "max_run_s": 600},
    "kafka_producer": {
        "host": "kafka.example",
        "topic": "checks",
        "user": "u",
        "password": "p",
        "mechanism": "SCRAM-SHA-256",
    },
    "kafka_consumer": {"host": "kafka.example", "topic": "orders", "write": False, "group": "billing", "max_lag": 5},
    "browser": {"steps": [{"do": "goto", "url": "https://shop.example/"}, {"do": "click", "text": "x"}]},
    "transaction": {
        "steps": [{"url": "https://shop.example/", "capture": {"x": {"header": "y"}}}, {"url": "https://{{x}}/"}]
    },
}
CONFIGS = {
    "webhook": {"url": "https://hook.example/x", "secret": "s3cret"},
    "email": {"to": "ops@example.org"},
    "telegram": {"token": "1:a", "chat_id": "-100123"},
    "teams": {"url": "https://teams.example/x"},
    "pagerduty": {"routing_key": "k"},
    "opsgenie": {"api_key": "k", "region": "eu"},
    "ntfy": {"url": "https://ntfy.example", "topic": "ops"},
    "twilio": {"account_sid": "AC1", "auth_token": "t", "from": "Tocsin", "to": "+436641234567"},
    "alertmanager": {"url": "http://am.example:9093", "labels": {"team": "web"}},
    "apprise": {"url": "gotify://host/token"},
}


@pytest.mark.parametrize("name", list(TARGETS))
def test_a_form_gives_back_what_it_was_made_from(name: str) -> None:
    target = checks.kind(name).target
    before = dump(read(target, TARGETS[name]))
    made = form.inputs(fields(target), before, "target.", {})
    typed = {i.name: i.value for i in made if i.control != "check" or i.value}
    after = form.read_back(fields(target), typed, "target.")
    assert dump(read(target, after)) == before


@pytest.mark.parametrize("name", list(CONFIGS))
def test_a_channels_form_does_too(name: str) -> None:
    config = notifiers.kind(name).config
    before = dump(read(config, CONFIGS[name]))
    typed = {
        i.name: i.value for i in form.inputs(fields(config), before, "config.", {}) if i.control != "check" or i.value
    }
    assert dump(read(config, form.read_back(fields(config), typed, "config."))) == before


def test_every_kind_has_a_form() -> None:
    for name in checks.names():
        assert form.inputs(fields(checks.kind(name).target), {}, "target.", {})
    for name in notifiers.REGISTRY:
        assert form.inputs(fields(notifiers.kind(name).config), {}, "config.", {})


@pytest.mark.parametrize(
    ("text", "value"),
    [("5", 5), ("0.5", 0.5), ("0,5", 0.5), ("1e5", "1e5"), ("five", "five"), ("-1", -1), ("1,000.5", "1,000.5")],
)
def test_a_number_is_one_or_stays_text(text: str, value: object) -> None:
    assert form.number(text) == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[{"url": "https://a.example/"}, {"url": "ftp://b"}]', "steps[1].url: Must be an http or https URL"),
        ('[{"url": "https://a.example/", "headrs": {}}]', "steps[0].headrs: Must be a known field (did you mean headers?)"),
        ('[{"url": "https://a.example/"', "Not JSON: line 1, column 30: Expecting ',' delimiter."),
        ('[\n {"url": oops}]', "Not JSON: line 2, column 10: Expecting value."), ("[" * 100_000, "nested too deep"),
    ],
)  # fmt: skip
def test_what_is_wrong_inside_json_is_told_by_its_place(text: str, said: str) -> None:
    shapes = fields(checks.kind("transaction").target)
    typed = form.read_back(shapes, {"target.steps": text}, "target.")
    with pytest.raises(Invalid) as caught:
        read(checks.kind("transaction").target, typed, where="target")
    made = form.inputs(shapes, typed, "target.", view.problems(caught.value))
    steps = next(i for i in made if i.name == "target.steps")
    assert said in steps.error
    assert steps.value == text or steps.value.startswith("[\n {")
    assert json.loads(steps.example)[0]["capture"]


def test_the_example_can_be_used_as_it_is() -> None:
    (steps, *_) = fields(checks.kind("transaction").target)
    target = read(
        checks.kind("transaction").target, {"steps": json.loads(steps.marks.example), "secrets": {"password": "s3cret"}}
    )
    assert len(target.steps) == 3
