"""What the server has open of this host that an agent before this one found, whose disk is lost: it is taken up as it
stands there, so that it ends when it is over and is not told again while it lasts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from tocsin.agent.ledger import Ledger
from tocsin.agent.wire import Unended
from tocsin.core.host_rule import HostRule, look
from tocsin.core.host_turn import Standing
from tocsin.core.sample import Reading

GONE, NO_RULE = "it is not there any more", "the rule does not hold any more"
NOBODY = frozenset[str]()


class Adopted:
    """Waits for the source that sees each of them."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._waiting: dict[tuple[str, str], Unended] = {}
        self._looked: set[str] = set()

    def learn(self, unended: Sequence[Unended], rules: Iterable[HostRule]) -> list[tuple[Standing, str]]:
        """Know them. Those that no rule is about any more are over: each as it stood, and why."""
        known = {rule.id for rule in rules}
        over: list[tuple[Standing, str]] = []
        before = self._waiting.keys()
        wanted: dict[tuple[str, str], Unended] = {}
        for one in unended:
            key = _parted(one.about, known)
            standing = self._ledger.standings.get(key)
            if standing is not None and standing.number:
                continue
            if key[0] in known:
                wanted[key] = one
            else:
                over.append((self._standing(key, one, ""), NO_RULE))
        if wanted.keys() - before:
            self._looked.clear()
        self._waiting = wanted
        return over

    def claimed(self, rule: HostRule, source: str, reading: Reading) -> list[Standing]:
        """Those that this source sees under the rule, as they stood."""
        mine = {what for id, what in self._waiting if id == rule.id}
        if not mine:
            return []
        seen = mine.intersection(one.what for one in look(rule, reading, NOBODY))
        return [self._standing((rule.id, what), self._waiting.pop((rule.id, what)), source) for what in sorted(seen)]

    def looked(self, source: str, sources: Collection[str]) -> list[tuple[Standing, str]]:
        """A source saw all that it looks at. Those left when every source has are over: each as it stood, and why."""
        if not self._waiting:
            return []
        self._looked.add(source)
        if not self._looked.issuperset(sources):
            return []
        left, self._waiting = self._waiting, {}
        return [(self._standing(key, one, source), GONE) for key, one in left.items()]

    def _standing(self, key: tuple[str, str], one: Unended, source: str) -> Standing:
        """In trouble, told by who told it."""
        number = self._ledger.floor + 1 + self._ledger.floor % 2
        return Standing(
            rule=key[0], rule_name=one.rule_name, what=key[1], source=source, number=number, severity=one.severity,
            teller="server" if one.told is None else "agent", told=one.told or (),
        )  # fmt: skip


def _parted(about: str, rules: Collection[str]) -> tuple[str, str]:
    """The rule and what it is about. Names of rules may have colons, so that known ones are tried; else any parting that
    gives the same together will do."""
    fitting = [rule for rule in rules if about.startswith(f"{rule}:")]
    rule = max(fitting, key=len, default=about.partition(":")[0])
    return rule, about[len(rule) + 1 :]
