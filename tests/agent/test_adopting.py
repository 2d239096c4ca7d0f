"""What an agent before this one left open, by itself: whose it becomes, and when nobody's."""

from __future__ import annotations

from tocsin.agent.adopting import GONE, NO_RULE, Adopted
from tocsin.agent.ledger import Ledger
from tocsin.agent.wire import Unended
from tocsin.core.host_rule import HostRule, OnService
from tocsin.core.host_turn import Standing
from tocsin.core.sample import Reading, Service

UNITS = HostRule(id="local:a:b", name="units", condition=OnService(kind="unit"))
OTHER = HostRule(id="local:a", name="others", condition=OnService(kind="thing"))


def left(about: str, told: tuple[str, ...] | None = None) -> Unended:
    return Unended(about=about, rule_name="units", severity="down", told=told)


def reading(*names: str) -> Reading:
    return Reading(services=tuple(Service(kind="unit", name=name, state="failed", ok=False) for name in names))


def test_the_source_that_sees_it_takes_it_up_with_who_told() -> None:
    adopted = Adopted(Ledger())
    assert adopted.learn([left("local:a:b:unit/x", ("ops",)), left("local:a:b:unit/y")], [UNITS, OTHER]) == []
    assert adopted.claimed(OTHER, "systemd", reading("x")) == []
    (x,) = adopted.claimed(UNITS, "systemd", reading("x", "z"))
    assert (x.what, x.source, x.fires, x.teller, x.told) == ("unit/x", "systemd", True, "agent", ("ops",))
    (y,) = adopted.claimed(UNITS, "docker", reading("y", "x"))
    assert (y.what, y.source, y.teller, y.told) == ("unit/y", "docker", "server", ())


def test_what_no_source_sees_or_no_rule_is_about_is_over() -> None:
    adopted = Adopted(Ledger())
    ((gone, why),) = adopted.learn([left("builtin:x.y:unit/x"), left("local:a:b:unit/y")], [UNITS])
    assert (f"{gone.rule}:{gone.what}", gone.fires, why) == ("builtin:x.y:unit/x", True, NO_RULE)
    assert adopted.looked("systemd", ["systemd", "docker"]) == []
    assert [(s.what, why) for s, why in adopted.looked("docker", ["systemd", "docker"])] == [("unit/y", GONE)]
    assert adopted.looked("docker", ["systemd", "docker"]) == []


def test_what_the_agent_knows_by_itself_it_does_not_take_up() -> None:
    ledger = Ledger()
    ledger.floor = 3
    for what, number in (("unit/x", 4), ("unit/y", 0)):
        ledger.stand(Standing(rule=UNITS.id, rule_name="units", what=what, source="systemd", number=number))
    adopted = Adopted(ledger)
    adopted.learn([left("local:a:b:unit/x"), left("local:a:b:unit/y")], [UNITS])
    assert [(s.what, s.number) for s in adopted.claimed(UNITS, "systemd", reading("x", "y"))] == [("unit/y", 5)]
