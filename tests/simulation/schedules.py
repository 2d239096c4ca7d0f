"""Worlds written by hand: what chance finds seldom or never. Each raises Broken when its invariant does not hold."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from simulation.machine import Habits
from simulation.scene import Scene
from tocsin.core import office
from tocsin.core.peer import Append, Message, PreVote, Vote, Voted


def in_office(seed: int, names: str = "abc", who: str = "a") -> Scene:
    """A quiet world whose primary is the first one."""
    scene = Scene(seed, names, story=True)
    assert scene.world.run_while(lambda: scene.primary() is None, 60)
    primary = scene.primary()
    assert primary is not None
    assert primary.id == who
    scene.world.run(scene.world.now + 1)
    return scene


def both(*pairs: str) -> set[tuple[str, str]]:
    """Cuts in both directions: "ab" between a and b."""
    return {(p[0], p[1]) for p in pairs} | {(p[1], p[0]) for p in pairs}


def carrying(message: object, *kinds: str) -> bool:
    """Whether this message brings entries of these kinds."""
    return isinstance(message, Append) and any(e.kind in kinds for e in message.entries)


def asked_while_a_primary_is_heard(seed: int) -> None:
    """c hears nothing of the primary and asks b, which does (I2, I11)."""
    scene = in_office(seed)
    world = scene.world
    world.network.cuts |= both("ac")
    world.run(world.now + 60)
    scene.finish()


def restart_at_the_edge_of_a_lease(seed: int) -> None:
    """b hears the primary, restarts at once and is asked by c, while the primary's lease goes on (I2)."""
    scene = in_office(seed)
    world = scene.world
    world.network.cuts |= both("ac")
    world.run(world.now + 25 + world.random.uniform(0, 5))
    world.network.cuts |= both("ab")
    scene["b"].crash("at the edge", 0.2)
    world.run(world.now + 40)
    scene.finish()


def vote_lost_in_a_crash(seed: int) -> None:
    """c votes for a and crashes; much later the question of b, asked in the same epoch, reaches it; b was frozen (I1)."""
    scene = Scene(seed, "abc", story=True)
    world, a, b, c = scene.world, scene["a"], scene["b"], scene["c"]

    def script(source: str, target: str, message: Message) -> float | None:
        if isinstance(message, Vote) and source == "b":
            return 60.0 if target == "c" else None
        if isinstance(message, PreVote) and source == "c":
            return None
        if isinstance(message, Voted) and source == "c" and target == "a" and message.granted:
            c.habits = Habits(crash_share=2.0, down_s=1.0)  # the next write, if this one is not on disk yet
            world.after(0.0005, c.crash, "just after its vote", 1.0)
        return 0.0 if isinstance(message, Vote | Voted) or not isinstance(message, Append) else None

    world.network.script = script
    world.run(15.0)
    a.pause(6.0)
    while b.node.epoch == 0:
        world.run(world.now + 0.01)
    b.pause(70.0, frozen=True)
    assert world.run_while(lambda: 1 not in world.truth.offices, 30)
    a.crash("so that c hears nothing more")
    c.habits = Habits()
    world.run(world.now + 90)
    world.network.script = None
    scene.finish()


def old_yes_after_a_pause(seed: int) -> None:
    """a stood in vain, asks again, and is paused while the others say yes; meanwhile c becomes primary in the epoch that a
    used up. What a finds when it goes on is no reason to begin another epoch (I11)."""
    scene = Scene(seed, "abc", story=True)
    world, a, c = scene.world, scene["a"], scene["c"]

    def script(source: str, target: str, message: Message) -> float | None:
        if isinstance(message, PreVote) and source == "a" and message.epoch == 2:
            world.after(0.0005, a.pause, 60.0)
        waits = isinstance(message, PreVote) and (source == "b" or (source == "c" and not a.paused))
        return None if waits or (source == "a" and isinstance(message, Vote)) else 0.0

    world.network.script = script
    assert world.run_while(lambda: not c.node.lease_left(c.clock()) and world.now < 60, 90)
    world.network.script = None
    world.run(world.now + 90)
    scene.finish()


def sent_and_never_committed(seed: int) -> None:
    """The primary decides a transition that reaches nobody, and is cut off; the next one decides it too (I7)."""
    scene = in_office(seed)
    world = scene.world
    world.network.script = lambda source, target, message: (
        None if source == "a" and carrying(message, "transition") else 0.0
    )
    scene.watch("alice", "shop", [world.now + 20])
    assert world.run_while(lambda: not scene["a"].desk.early, 60)
    world.network.cuts |= both("ab", "ac")
    world.run(world.now + 60)
    world.network.script = None
    scene.finish()


def dies_after_telling(seed: int) -> None:
    """The primary tells a channel and dies a second later: what became of the message is known by then (I7)."""
    scene = in_office(seed)
    world = scene.world
    scene.watch("alice", "shop", [world.now + 20])
    assert world.run_while(lambda: not world.truth.arrived, 60)
    assert world.run_while(lambda: not scene["a"].drive.shelf.rows or bool(scene["a"].desk.sending), 10)
    world.run(world.now + 0.2)
    scene["a"].crash("after telling")
    world.run(world.now + 60)
    scene.finish()
    if world.truth.duplicates:
        world.broken("I7", "a message whose outcome was known was told again")


def slow_channel_at_the_end_of_a_lease(seed: int) -> None:
    """The primary is cut off just as it begins to tell a channel that takes its time (I9)."""
    scene = in_office(seed)
    world, a = scene.world, scene["a"]
    scene.watch("alice", "shop", [world.now + 20])
    world.channels["alice/0"].slow_share = 1.0
    assert world.run_while(lambda: not a.desk.sending, 60)
    world.network.cuts |= both("ab", "ac")
    world.run(world.now + 60)
    scene.finish()


def lost_disk_elects_an_older_log(seed: int) -> None:
    """What a and c committed is on c's lost disk and on a, which is down; b has an older log, and c is empty (I3)."""
    scene = in_office(seed)
    world, a, c = scene.world, scene["a"], scene["c"]
    world.network.cuts |= both("ab")
    a.desk.propose("config", b"kept", "config")
    world.run(world.now + 1)
    assert a.node.commit == a.node.log.last.index
    a.crash("power", 120.0)
    c.wipe()
    world.after(1.0, c.start)
    world.run(world.now + 90)
    world.network.cuts.clear()
    world.run(world.now + 60)
    scene.finish()


def old_entries_on_a_majority(seed: int) -> None:
    """An entry of an old epoch reaches a majority under a later primary, one message at a time; who never saw it holds an
    entry of an epoch between and may be elected (the eighth figure of the Raft paper; I3)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(office, "MOST_ENTRIES", 1)
        scene = in_office(seed, "abcde")
        world, a, b, e = scene.world, scene["a"], scene["b"], scene["e"]

        def only(who: str) -> Script:
            """Nobody else stands, and nobody hears of the beginning of its epoch."""

            def script(source: str, target: str, message: Message) -> float | None:
                stands = isinstance(message, PreVote) and source != who
                return None if stands or (source == who and carrying(message, "begin")) else 0.0

            return script

        world.network.cuts = both("ac", "ad", "ae")
        a.desk.propose("config", b"old", "config")
        world.run(world.now + 0.2)
        a.crash("with an entry on two of five")
        b.crash("with an entry on two of five")
        world.network.cuts = set()
        world.network.script = only("e")
        assert world.run_while(lambda: e.node.role != "elect", 120)
        e.crash("with an entry of its own, on one of five")
        world.network.script = only("a")
        a.start()
        b.start()
        assert world.run_while(lambda: a.node.role != "elect", 200)
        world.run(world.now + 6.0)
        a.crash("after the old entry is on a majority")
        b.crash("after the old entry is on a majority")
        world.network.script = None
        e.start()
        world.run(world.now + 120)
        scene.finish()


def handed_to_who_is_not_there(seed: int) -> None:
    """The operator hands the office to a machine that is down: the primary keeps it (I11)."""
    scene = in_office(seed)
    world = scene.world
    world.run(world.now + 10)
    scene["b"].crash("power")
    world.run(world.now + 1)
    scene.promote("b")
    world.run(world.now + 12)
    primary = scene.primary()
    if primary is None or primary.id != "a":
        world.broken("I11", "a gave its office up for a machine that is not there")
    scene.finish()


def told_soon_after_a_takeover(seed: int) -> None:
    """A channel comes back in the moment in which the primary dies: the next one tells within half a minute (I6)."""
    scene = in_office(seed)
    world = scene.world
    scene.watch("alice", "shop", [world.now + 20])
    world.channels["alice/0"].away.append((world.now, world.now + 60))
    world.run(world.now + 60)
    scene["a"].crash("power")
    world.run(world.now + 30)
    if "alice/0|alice-shop|1" not in world.truth.arrived:
        world.broken("I6", "nobody was told within 30 s, though a majority and the channel were there")
    scene.finish()


def told_in_order_after_a_takeover(seed: int) -> None:
    """A channel is away while a shop goes down and comes back, and the primary dies; the next tells down, then up (I8)."""
    scene = in_office(seed)
    world = scene.world
    scene.watch("alice", "shop", [world.now + 20, world.now + 60], channels=2)
    for channel in world.channels.values():
        channel.away.append((world.now, world.now + 150))
    world.run(world.now + 110)
    scene["a"].crash("power", 60.0)
    world.run(world.now + 100)
    scene.finish()


Script = Callable[[str, str, Message], float | None]


def forced_twice(seed: int) -> None:
    """a is promoted by force while the others are off, and dies; then b is, which never heard of that. When all are back
    they follow b, and vote again (I14)."""
    scene = in_office(seed)
    world, a, b, c = scene.world, scene["a"], scene["b"], scene["c"]
    a.desk.propose("config", b"before", "config")
    world.run(world.now + 1)
    for who in (b, c):
        who.crash("off, by the operator's word")
    world.run(world.now + 30)
    scene.force(a)
    a.desk.propose("config", b"only at a", "config")
    world.run(world.now + 10)
    a.crash("for good, as it seems")
    b.start()
    world.run(world.now + 30)
    scene.force(b)
    world.after(20, a.start)
    world.after(30, c.start)
    world.run(world.now + 90)
    led = [m.id for m in (a, b, c) if m.node.lease_left(m.clock())]
    if led != ["b"] or a.node.primary != "b" or c.node.primary != "b":
        world.broken("I14", f"{led} are primary, a follows {a.node.primary} and c {c.node.primary}")
    scene.care()
    world.run(world.now + 60)
    scene.finish()
    primary = scene.primary()
    if primary is not b or len(b.node.membership.voters()) != 3:
        world.broken("I14", f"{primary} is primary, {b.node.membership.voters()} vote")


SCHEDULES: dict[str, Callable[[int], None]] = {
    do.__name__: do
    for do in (
        asked_while_a_primary_is_heard,
        restart_at_the_edge_of_a_lease,
        vote_lost_in_a_crash,
        old_yes_after_a_pause,
        sent_and_never_committed,
        dies_after_telling,
        slow_channel_at_the_end_of_a_lease,
        lost_disk_elects_an_older_log,
        old_entries_on_a_majority,
        handed_to_who_is_not_there,
        told_in_order_after_a_takeover,
        told_soon_after_a_takeover,
        forced_twice,
    )
}
