"""Text that cannot be printed by accident."""

from __future__ import annotations


class Secret:
    """A string whose repr, str, format and JSON are `***`; `reveal()` gives the text, `same()` compares in constant time."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself. Call it only where it leaves for its one purpose."""
        return self._text

    def same(self, other: str | Secret) -> bool:
        """Whether both are the same text, in time that does not depend on where they differ."""
        import hmac

        text = other.reveal() if isinstance(other, Secret) else other
        return hmac.compare_digest(self._text.encode(), text.encode())

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.same(other)

    def __hash__(self) -> int:
        return hash(("Secret", self._text))

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "***"

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not pickled")
