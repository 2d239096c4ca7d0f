"""A sender that is killed at whatever step: each message arrives, and again only what was on its way just then."""

from __future__ import annotations

import asyncio
import os
import random
import re
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest

from builders import until
from delivering import SUBJECTS
from tocsin.core.digest import digest_key
from world import Web, webs

HERE = Path(__file__).parent.parent


class Sender:
    """The process, and what it said."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    async def begin(cls, folder: Path, port: int, number: int) -> Sender:
        environment = os.environ | {"PYTHONPATH": f"{HERE}:{os.environ.get('PYTHONPATH', '')}"}
        return cls(
            await asyncio.create_subprocess_exec(
                sys.executable, str(HERE / "delivering.py"), str(folder), str(port), str(number), env=environment,
                stdout=asyncio.subprocess.PIPE,
            )
        )  # fmt: skip

    async def says(self, word: str) -> None:
        assert self.process.stdout is not None
        async with asyncio.timeout(60):
            while (line := (await self.process.stdout.readline()).decode().strip()) != word:
                assert line, f"it ended with {await self.process.wait()} before it said {word}"

    async def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()


def sent(folder: Path) -> set[str]:
    """What is recorded as sent."""
    with sqlite3.connect(folder / "tocsin.db") as database:
        return {row[0] for row in database.execute("SELECT key FROM outbox WHERE state = 'sent'")}


async def killed(sender: Sender, sink: Web, step: int, chance: random.Random) -> None:
    """Kill it: between intent and sending; while the other side has a message and has not answered; or when it has
    answered and that is being recorded."""
    before = len(sink.calls)
    sink.hang = asyncio.Event() if step == 1 else None
    await sender.says("intended")
    if step == 0:
        await asyncio.sleep(chance.random() * 0.08)
    else:
        await until(lambda: len(sink.calls) > before + chance.randrange(2), within_s=60)
        await asyncio.sleep(chance.random() * (0.02 if step == 1 else 0.03))
    await sender.kill()
    if sink.hang is not None:
        sink.hang.set()
        sink.hang = None


def under(post: dict[str, Any]) -> list[str]:
    """The messages that a post stands for."""
    return [key for item in post["items"] for key in item["keys"]] if "items" in post else [post["key"]]


async def kill_again_and_again(folder: Path, kills: int) -> None:
    chance = random.Random(7)
    async with webs(1) as (sink,):
        recorded: list[tuple[int, set[str]]] = []
        for number in range(kills):
            sender = await Sender.begin(folder, sink.port, number)
            try:
                await killed(sender, sink, number % 3, chance)
            finally:
                await sender.kill()
            recorded.append((len(sink.calls), sent(folder)))
        last = await Sender.begin(folder, sink.port, kills)
        try:
            await last.says("done")
        finally:
            await last.kill()
        posts = sink.posts
        begun = 0
        for count, known in recorded:
            again = {post["key"] for post in posts[count:]} & known
            assert again == set(), "what was recorded as sent is never sent again"
            meanwhile = [post["key"] for post in posts[begun:count]]
            assert len(meanwhile) == len(set(meanwhile)), "nothing is sent twice without a kill in between"
            begun = count
        bodies: dict[str, set[str]] = {}
        told_by: dict[str, set[str]] = {}
        for (headers, _), post in zip(sink.calls, posts, strict=True):
            assert headers["idempotency-key"] == post["key"]
            post.pop("late_s", None)
            post["text"] = re.sub(r"\nSent .* late\.$", "", post["text"])
            bodies.setdefault(post["key"], set()).add(repr(post) if post["event"] == "digest" else "")
            for key in under(post):
                told_by.setdefault(key, set()).add(post["key"])
        assert {len(said) for said in bodies.values()} == {1}, "the same digest says the same"
        assert {len(keys) for keys in told_by.values()} == {1}, "each message is told under one key only"
        for number in range(kills + 1):
            storm = [f"{number}-m{n}-1" for n in range(SUBJECTS)]
            assert told_by[storm[0]] == {digest_key(f"storm{number}", storm)}
            assert {f"{number}-calm-1", f"{number}-calm-2"} <= told_by.keys()
            firsts = [post["key"] for post in posts if post["key"].startswith(f"{number}-calm")]
            assert firsts == sorted(firsts), "the outage before its end"
        assert len(told_by) == (kills + 1) * (SUBJECTS + 2)


async def test_a_sender_killed_at_whatever_step_loses_nothing_and_repeats_only_what_was_on_its_way(
    tmp_path: Path,
) -> None:
    await kill_again_and_again(tmp_path, 15)


@pytest.mark.soak
async def test_two_hundred_kills(tmp_path: Path) -> None:
    await kill_again_and_again(tmp_path, 200)
