"""A digest has an acknowledge link for each line that asks somebody, as far as the channel has room."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from notifiers.samples import many, of
from tocsin.core.alert import Item, Message
from tocsin.core.template import Template, render
from tocsin.notifiers import apprise, discord, email, ntfy, slack, teams, telegram, twilio
from tocsin.notifiers._fit import listed, plain

LINK = "https://watch.example/acknowledge/" + "aB-_" * 35


def items(count: int) -> tuple[Item, ...]:
    return tuple(
        replace(item, event="incident.opened", acknowledge_url=f"{LINK}{n:04}") for n, item in enumerate(many(count))
    )


WAYS: dict[str, Callable[[Message], str]] = {
    "slack": lambda m: json.dumps(slack.payload(m)),
    "discord": lambda m: json.dumps(discord.payload(m)),
    "teams": lambda m: json.dumps(teams.payload(m)),
    "telegram": telegram.text_of,
    "ntfy": lambda m: json.dumps(ntfy.payload("t", m)),
    "apprise": lambda m: apprise._body(m, 4000),
    "email, plain": email._plain,
    "email, HTML": email._html,
}


@pytest.mark.parametrize("name", WAYS)
def test_three_lines_have_their_links(name: str) -> None:
    made = WAYS[name](of("digest", items=items(3)))
    assert [made.count(f"{LINK}{n:04}") for n in range(3)] == [1, 1, 1]
    assert "Acknowledge" not in WAYS[name](of("digest", items=many(3)))


def test_an_sms_has_no_room_for_them() -> None:
    assert LINK not in twilio.text_of(of("digest", items=items(3)))


def test_names_come_before_links_and_links_of_steps_before_those_of_openings() -> None:
    some = [replace(i, event="incident.escalated") if n > 20 else i for n, i in enumerate(items(24))]
    bare = "\n".join(plain(replace(item, acknowledge_url="")) for item in some)
    made = listed(some, len(bare) + 900, plain)
    assert made.count("• ") == 24
    assert [n for n in range(24) if f"{LINK}{n:04}" in made] == [0, 21, 22, 23]
    assert len(made) <= len(bare) + 900
    assert LINK not in listed(some, len(bare) // 2, plain)


def test_a_template_may_name_them() -> None:
    text = "{% for i in items %}{{ i.acknowledge_url }}\n{% endfor %}"
    assert render(Template(text=text), of("digest", items=items(2)))[1].split() == [f"{LINK}0000", f"{LINK}0001"]
