"""The connection to a D-Bus where the other end is rude, over real sockets; collectors/test_systemd.py has a real one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from jeepney import HeaderFields, Parser, new_error, new_method_return, new_signal
from jeepney.wrappers import DBusAddress

from builders import until
from tocsin.errors import CheckFailed
from tocsin.net import dbus
from tocsin.net.dbus import Bus, NoAnswer

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter


class Rude:
    """A bus that takes anybody and then does as `answers` says, for each member that is asked for."""

    def __init__(self, path: Path, answers: dict[str, Callable[[Writer, object], Awaitable[None]]]) -> None:
        self.path, self.answers = str(path), answers
        self.heard: list[tuple[str, str, list[object]]] = []
        self.lost = 0

    @asynccontextmanager
    async def serve(self, says: bytes = b"OK 00\r\n") -> AsyncIterator[Bus]:
        async def one(reader: Reader, writer: Writer) -> None:
            try:
                await reader.readuntil(b"\r\n")
                writer.write(says)
                await reader.readuntil(b"BEGIN\r\n")
                parser = Parser()
                while data := await reader.read(1000):
                    for message in parser.feed(data):
                        member = message.header.fields[HeaderFields.member]
                        await self.answers.get(member, _nothing)(writer, message)
            except asyncio.IncompleteReadError:
                pass
            finally:
                writer.close()

        bus = Bus(self.path, lambda *said: self.heard.append(said), self._gone)
        server = await asyncio.start_unix_server(one, self.path)
        async with server:
            try:
                yield bus
            finally:
                await bus.close()

    def _gone(self) -> None:
        self.lost += 1


async def _nothing(writer: Writer, message: object) -> None:
    writer.write(new_method_return(message).serialise(7))


async def test_variants_are_opened_and_signals_are_heard(tmp_path: Path) -> None:
    async def tells(writer: Writer, message: object) -> None:
        signal = new_signal(DBusAddress("/there", "a.who", "a.b"), "Changed", "sa{sv}as", ("x", {"n": ("u", 5)}, ["l"]))
        writer.write(signal.serialise(9))
        row = [("name", ("v", ("as", ["in", "out"])))]
        writer.write(new_method_return(message, "a(sv)v", (row, ("(is)", (1, "one")))).serialise(8))

    rude = Rude(tmp_path / "bus", {"Ask": tells})
    async with rude.serve() as bus:
        await bus.connect()
        assert bus.open
        assert await bus.call("a.who", "/there", "a.b.Ask") == [[("name", ["in", "out"])], (1, "one")]
        assert rude.heard == [("/there", "Changed", ["x", {"n": 5}, ["l"]])]


async def test_an_error_has_its_name_and_words(tmp_path: Path) -> None:
    async def fails(writer: Writer, message: object) -> None:
        writer.write(new_error(message, "a.b.NoSuchUnit", "s", ("there is no such unit",)).serialise(8))

    async with Rude(tmp_path / "bus", {"Ask": fails}).serve() as bus:
        await bus.connect()
        with pytest.raises(NoAnswer, match="Ask: there is no such unit") as caught:
            await bus.call("a.who", "/there", "a.b.Ask")
        assert caught.value.name == "a.b.NoSuchUnit"


@pytest.mark.parametrize("rudeness", ["hangs up", "says what is no D-Bus"])
async def test_a_bus_that_breaks_off_fails_who_waits_and_is_told_once(tmp_path: Path, rudeness: str) -> None:
    async def breaks(writer: Writer, message: object) -> None:
        if rudeness == "hangs up":
            writer.close()
        else:
            writer.write(b"x" * 1000)

    rude = Rude(tmp_path / "bus", {"Ask": breaks})
    async with rude.serve() as bus:
        await bus.connect()
        with pytest.raises(CheckFailed, match="the D-Bus hung up"):
            await bus.call("a.who", "/there", "a.b.Ask")
        await until(lambda: rude.lost == 1)
        assert not bus.open
        with pytest.raises(CheckFailed, match="not connected"):
            await bus.call("a.who", "/there", "a.b.Ask")
    assert rude.lost == 1


async def test_who_hangs_up_by_itself_is_not_told(tmp_path: Path) -> None:
    rude = Rude(tmp_path / "bus", {})
    async with rude.serve() as bus:
        await bus.connect()
    assert (rude.lost, bus.open) == (0, False)


@pytest.mark.parametrize(("says", "words"), [(b"REJECTED EXTERNAL\r\n", "Authentication failed"), (b"", "within")])
async def test_a_bus_that_does_not_take_us(
    tmp_path: Path, says: bytes, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dbus, "CONNECT_S", 0.5)
    async with Rude(tmp_path / "bus", {}).serve(says) as bus:
        with pytest.raises(CheckFailed, match=words):
            await bus.connect()
        assert not bus.open


async def test_no_bus_is_there(tmp_path: Path) -> None:
    bus = Bus(str(tmp_path / "none"), lambda *_: None, lambda: None)
    with pytest.raises(CheckFailed, match=r"cannot be used: No such file or directory"):
        await bus.connect()
    await bus.close()


async def test_an_answer_that_does_not_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def keeps_silent(writer: Writer, message: object) -> None:
        return

    async with Rude(tmp_path / "bus", {"Ask": keeps_silent}).serve() as bus:
        await bus.connect()
        monkeypatch.setattr(dbus, "ANSWER_S", 0.2)
        with pytest.raises(CheckFailed, match=r"a\.who does not answer Ask within 0\.2 s"):
            await bus.call("a.who", "/there", "a.b.Ask")
        assert bus.open, "the next question may be answered"
