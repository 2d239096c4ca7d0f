"""A strict reader of XML that devices answer: elements and their text, nothing of what XML can do beside that.

No document type, so no entities and nothing that is fetched from elsewhere; limits on depth and number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

from tocsin.errors import CheckFailed

MOST_DEPTH, MOST_ELEMENTS = 20, 20_000


@dataclass(slots=True)
class Element:
    """One element: its name without a prefix, its text, what is in it."""

    name: str
    text: str = ""
    inside: list[Element] = field(default_factory=list["Element"])

    def all(self, name: str) -> Iterator[Element]:
        """Those of that name, anywhere below."""
        for child in self.inside:
            if child.name == name:
                yield child
            yield from child.all(name)

    def first(self, name: str) -> str:
        """The text of the first of that name below, nothing when there is none."""
        return next((found.text.strip() for found in self.all(name)), "")


def read_xml(body: bytes, what: str) -> Element:
    """The outermost element. CheckFailed when it is no XML, or more than is taken."""
    root = Element("")
    open_: list[Element] = [root]
    count = 0

    def start(name: str, _: object) -> None:
        nonlocal count
        count += 1
        if count > MOST_ELEMENTS or len(open_) > MOST_DEPTH:
            raise ValueError("more than is taken")
        made = Element(name.rpartition(":")[2])
        open_[-1].inside.append(made)
        open_.append(made)

    def end(_: str) -> None:
        open_.pop()

    def said(text: str) -> None:
        open_[-1].text += text

    def refuse(*_: object) -> None:
        raise ValueError("a document type")

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, said
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    try:
        parser.Parse(body, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        why = str(error) if isinstance(error, ValueError) else "none"
        raise CheckFailed("protocol", f"expected {what} as XML, found {why[:60]}") from None
    return root.inside[0]
