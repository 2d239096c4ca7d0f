"""Check results in the world: where they are kept, and how they get to the primary (and its own to the first standby)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from tocsin.core import cursors
from tocsin.core.cursors import Cursors, Offer, Origin

if TYPE_CHECKING:
    from simulation.machine import Machine


class Row(NamedTuple):
    """A check result of one location."""

    origin: Origin
    seq: int
    workspace: str
    subject: str
    slot: float
    down: bool


@dataclass
class Shelf:
    """The results on one disk: by workspace, and by what they are known by."""

    tables: dict[str, dict[tuple[str, str, float], Row]] = field(default_factory=dict)
    rows: dict[tuple[Origin, int], Row] = field(default_factory=dict)
    cursors: Cursors = field(default_factory=Cursors)
    acked: int = 0
    seq: int = 0

    def put(self, row: Row) -> bool:
        """Keep a row; False when it was there."""
        if not self.cursors.add(row.origin, row.seq):
            return False
        self.rows[row.origin, row.seq] = row
        self.tables.setdefault(row.workspace, {})[row.subject, row.origin.source, row.slot] = row
        return True


class Forwarder:
    """One machine's part in carrying results to where they belong: its home."""

    def __init__(self, machine: Machine) -> None:
        self.machine, self.world = machine, machine.world
        self.home: tuple[int, str] | None = None
        self.wanted: Offer | None = None
        self.world.after(self.world.random.random(), self._turn, machine.life)

    @property
    def origin(self) -> Origin:
        return Origin(self.machine.id, self.machine.incarnation)

    def made(self, rows: list[Row]) -> None:
        """New results of this location are on disk: pass them on."""
        shelf = self.machine.drive.shelf
        for row in rows:
            shelf.put(row)
            self.world.truth.made[row.origin, row.seq] = row
        self._send(rows)

    def _home(self) -> tuple[int, str] | None:
        """Where results go: the primary; those of the primary to the first standby."""
        node = self.machine.node
        if node.primary is None:
            return None
        if node.primary != self.machine.id:
            return node.epoch, node.primary
        standby = next((m for m in node.membership.in_order() if m != self.machine.id), None)
        return None if standby is None else (node.epoch, standby)

    def _turn(self, life: int) -> None:
        """Now and then: find out who is home, offer what a new one may miss, send again what was not acknowledged."""
        machine = self.machine
        if machine.life != life:
            return
        self.world.after(5.0, self._turn, life)
        if machine.paused or machine.witness:
            return
        home = self._home()
        if home != self.home:
            self.home, self.wanted = home, None
        if home is None:
            return
        shelf = machine.drive.shelf
        if self.wanted is None:
            peer = self.world.machines[home[1]]
            self.world.post(
                machine.id, peer.id, peer.forward, "offered", machine.id, home, cursors.to_offer(shelf.cursors)
            )
        elif self.wanted:
            keys = [(o, s) for o, ranges in self.wanted.items() for s in cursors.numbers(ranges)]
            self._send([shelf.rows[k] for k in keys[:200]])
        else:
            own = self.origin
            late = range(shelf.acked + 1, shelf.cursors.newest(own) + 1)
            self._send([shelf.rows[own, s] for s in late if (own, s) in shelf.rows][:200])

    def _send(self, rows: list[Row]) -> None:
        if self.home is not None and rows:
            peer = self.world.machines[self.home[1]]
            self.world.post(self.machine.id, peer.id, peer.forward, "take", self.machine.id, self.home, rows)

    def offered(self, sender: str, home: tuple[int, str], offer: Offer) -> None:
        """Somebody says what it holds: say what of it is missing here."""
        if self.machine.node.fence(home[0]) is not None:
            return
        missing = self.machine.drive.shelf.cursors.missing(offer)
        peer = self.world.machines[sender]
        self.world.post(self.machine.id, sender, peer.forward, "want", self.machine.id, home, missing)

    def want(self, sender: str, home: tuple[int, str], missing: Offer) -> None:
        """Home says what it misses; what was on a disk that is gone meanwhile, nobody can give it."""
        if home == self.home:
            gone = self.machine.drive.shelf.cursors.missing(missing)
            self.wanted = Cursors(gone).missing(missing)

    def take(self, sender: str, home: tuple[int, str], rows: list[Row]) -> None:
        """Rows came: keep them, and say up to where everything of the sender's own is here."""
        shelf = self.machine.drive.shelf
        fresh = [row for row in rows if shelf.put(row)]
        if fresh and self.home is not None and self.machine.node.primary != self.machine.id:
            self.wanted = None  # they were long on their way: this is not home any more, and home may never get them
        self.machine.desk.judge(fresh)
        missing = {row.origin for row in rows}
        peer = self.world.machines[sender]
        have = {origin: shelf.cursors.offer()[origin] for origin in missing}
        upto = shelf.cursors.upto(Origin(sender, peer.incarnation))
        self.world.post(self.machine.id, sender, peer.forward, "acked", self.machine.id, home, (upto, have))

    def acked(self, sender: str, home: tuple[int, str], said: tuple[int, Offer]) -> None:
        """Home has everything of ours up to a number: that is not lost any more."""
        upto, have = said
        shelf = self.machine.drive.shelf
        own = self.origin
        upto = min(upto, shelf.seq)
        for seq in range(shelf.acked + 1, upto + 1):
            self.world.truth.acked.add((own, seq))
        shelf.acked = max(shelf.acked, upto)
        if home == self.home and self.wanted:
            there = Cursors(have)
            left = there.missing({o: r for o, r in self.wanted.items() if o in have})
            self.wanted = {**{o: r for o, r in self.wanted.items() if o not in have}, **left}
