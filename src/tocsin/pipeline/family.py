"""Which monitors depend on which, for looking downwards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


class Family:
    """Ids by what they depend on."""

    def __init__(self) -> None:
        self._children: dict[str, set[str]] = {}
        self._parents: dict[str, tuple[str, ...]] = {}

    def put(self, id: str, parents: Iterable[str]) -> None:
        """This is what it depends on now."""
        self.forget(id)
        if named := tuple(parents):
            self._parents[id] = named
            for parent in named:
                self._children.setdefault(parent, set()).add(id)

    def forget(self, id: str) -> None:
        """It depends on nothing any more."""
        for parent in self._parents.pop(id, ()):
            children = self._children[parent]
            children.discard(id)
            if not children:
                del self._children[parent]

    def below(self, id: str) -> Iterator[str]:
        """Whatever depends on it, also by way of others."""
        known, ahead = {id}, [id]
        while ahead:
            for child in self._children.get(ahead.pop(), ()):
                if child not in known:
                    known.add(child)
                    ahead.append(child)
                    yield child
