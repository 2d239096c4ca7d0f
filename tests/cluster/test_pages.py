"""The page of the instances, and what all pages say where nothing can be changed."""

from __future__ import annotations

from urllib.parse import urlencode

from builders import ALICE, until
from cluster.test_people import PASSWORD, parts_of, ready
from instances import Group, One
from tocsin.cluster import roster
from tocsin.web.routes import application
from web.caller import Answer, Caller

PAGE = "/settings/instances"


class Visitor:
    """Alice in her browser, without scripts."""

    def __init__(self, one: One) -> None:
        self._caller = Caller(application(parts_of(one)), accept="text/html", origin="http://tocsin.test")

    async def sign_in(self, email: str = ALICE) -> Visitor:
        answer = await self.post("/login", email=email, password=PASSWORD)
        assert answer.status == 303, answer.text
        return self

    async def post(self, url: str, *fields: tuple[str, str], **more: str) -> Answer:
        raw = urlencode([*fields, *more.items()]).encode()
        headers = {"content-type": "application/x-www-form-urlencoded"}
        return await self._caller.send("POST", url, raw=raw, headers=headers)

    async def look(self, url: str = PAGE) -> str:
        answer = await self._caller.get(url)
        assert answer.status == 200, answer.text
        return answer.text


async def visit(one: One, email: str = ALICE) -> Visitor:
    return await Visitor(one).sign_in(email)


async def test_the_page_of_a_primary(group: Group) -> None:
    a, _b, _c = await ready(group, "a", "b", "c")
    await until(lambda: {"instance-b", "instance-c"} <= set(a.cluster.heard))
    alice = await visit(a)
    shown = await alice.look()
    assert "a leads in epoch" in shown
    assert "of 3 voters agree" in shown
    assert "of 3 voters 1 may be lost" in shown
    assert shown.count("Promote …") == 2
    assert shown.count("Demote …") == 1
    assert f"TOCSIN_PRIMARY_SYNC_URL={a.url}" in shown
    for name in ("SYNC_URL", "SYNC_API_PORT", "BASE_URL", "INSTANCE_NAME", "LOCATION", "FAILOVER_ORDER=3"):
        assert f"TOCSIN_{name}" in shown
    assert "by force" not in shown
    assert "This instance follows" not in shown
    looks = await (await visit(a, "bob@example.org")).look()
    assert "Promote …" not in looks
    assert "TOCSIN_SYNC_SECRET" not in looks


async def test_the_order_changes_by_buttons_and_by_dragging(group: Group) -> None:
    a, _b = await ready(group, "a", "b")
    alice = await visit(a)
    both = (("id", "instance-a"), ("id", "instance-b"))
    answer = await alice.post("/settings/failover-order", *both, up="instance-b")
    assert (answer.status, answer.headers["location"]) == (303, PAGE + "?did=order")
    shown = await alice.look()
    assert shown.index('data-id="instance-b"') < shown.index('data-id="instance-a"')
    assert (await alice.post("/settings/failover-order", *both)).status == 303  # as rows were dragged
    shown = await alice.look()
    assert shown.index('data-id="instance-a"') < shown.index('data-id="instance-b"')
    refused = await alice.post("/settings/failover-order", both[0])
    assert (refused.status, "every instance once" in refused.text) == (409, True)


async def test_a_follower_says_whom_it_follows_and_has_no_forms(group: Group) -> None:
    _a, b = await ready(group, "a", "b")
    await until(lambda: b.cluster.carrier.standing.primary == "instance-a" and b.cluster.names)
    alice = await visit(b)
    for url in (PAGE, "/", "/channels", "/settings/members"):
        shown = await alice.look(url)
        assert "This instance follows a" in shown, url
        assert f'href="http://a.example{url}"' in shown
        assert "data-follows" in shown  # the style sheet hides forms that would be refused
        assert "New monitor" not in shown, url
    assert "Promote …" not in await alice.look()
    answer = await alice.post("/settings/instances/instance-b/promote")
    assert (answer.status, "http://a.example" in answer.text) == (409, True)


async def test_the_page_of_a_form_says_who_takes_changes(group: Group) -> None:
    _a, b = await ready(group, "a", "b")
    alice = await visit(b)
    for url in ("/monitors/new", "/locations/new", "/channels/new", "/hosts/new"):
        said = f'<a href="http://a.example{url}">This form at a</a>'
        while said not in await alice.look(url):  # the first look at a page takes long enough to end an office
            await until(lambda: b.cluster.carrier.standing.primary == "instance-a" and b.cluster.names, within_s=20)


async def test_with_nobody_leading_the_way_out_is_by_force(group: Group) -> None:
    a, b = await ready(group, "a", "b")
    alice = await visit(b)
    await a.stop()
    await until(lambda: b.cluster.carrier.standing.primary is None, within_s=20)
    shown = await alice.look()
    assert "There is no primary just now" in shown
    assert "Nobody leads just now." in shown
    assert "Promote b by force" in shown
    assert "since a leads" not in shown
    assert "How the others are is not known while nobody leads." in shown
    assert ">Follows<" not in shown
    places = await alice.look("/locations")
    assert "Nobody leads: how the other locations are is not known here." in places
    assert "locations look." not in places
    wrong = await alice.post("/settings/instances/instance-b/force", name="a", others_are_off="1")
    assert (wrong.status, "typed again" in wrong.text) == (422, True)
    unsure = await alice.post("/settings/instances/instance-b/force", name="b")
    assert unsure.status == 422
    answer = await alice.post("/settings/instances/instance-b/force", name="b", others_are_off="1")
    assert (answer.status, answer.headers.get("location")) == (303, PAGE + "?did=forced"), answer.text
    assert "b leads in epoch 1" in await alice.look()


async def test_what_is_proposed_for_the_next_one_nobody_has(group: Group) -> None:
    a, _b = await ready(group, "a", "b")
    alice = await visit(a)
    assert "TOCSIN_FAILOVER_ORDER=2" in await alice.look()
    await roster.change(a.cluster, "instance-b", "alice", "ws", name=None, failover_order=5)
    assert "TOCSIN_FAILOVER_ORDER=6" in await alice.look()
    assert "Only the server that leads" in await alice.look("/monitors/new")


async def test_one_that_nobody_reaches_observes_and_keeps_up(group: Group) -> None:
    a, _b = await ready(group, "a", "b")
    away = group.one("away")
    await away.join(a.url, sync_url="")
    alice = await visit(a)
    await until(lambda: away.cluster.carrier.standing.primary == "instance-a", within_s=20)
    await until(lambda: "instance-away" in a.cluster.heard, within_s=20)
    await until(lambda: away.cluster.carrier.applied >= a.cluster.carrier.node.commit, within_s=20)
    assert await away.store.everything().read(lambda s: s.accounts.user("charlie"))
    shown = await alice.look()
    assert "observes" in shown
    assert "2 of 2 voters agree" in shown
    assert 'aria-label="Move b up"' in shown
    assert 'aria-label="Move away' not in shown
    await a.store.everything().write(lambda s: s.notes.set("preferences:elsewhere", {"partial_is_down": True}))
    for _ in range(2000):
        if came := await away.store.everything().read(lambda s: s.preferences.of("elsewhere").partial_is_down):
            break
    assert came
    assert "This instance follows a" in await (await visit(away)).look()
