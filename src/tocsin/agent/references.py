"""What a file names in place of writing it down: `${NAME}` of the environment, `file:/path` for what is in a file."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tocsin.core.plain import CLEAN_SAYS, as_list, as_map, clip, join, sound
from tocsin.errors import Problem

MOST = 65_536
_NAMED = re.compile(r"\$(?:(\$)(?=\{)|\{([A-Za-z_][A-Za-z0-9_]{0,99})\})")


def resolved(
    data: Any, variable: Callable[[str], str | None], folder: Path
) -> tuple[Any, dict[str, str], list[Problem]]:
    """The data with each reference replaced by what it names; by path, how those were written; and what was not there.
    `$${` stands for a plain `${`. A path that is not whole begins at `folder`."""
    reader = _Reader(variable, folder)
    return reader.go(data, ""), reader.written, reader.problems


class _Reader:
    def __init__(self, variable: Callable[[str], str | None], folder: Path) -> None:
        self._variable, self._folder = variable, folder
        self.written: dict[str, str] = {}
        self.problems: list[Problem] = []

    def go(self, data: Any, where: str) -> Any:
        items, entries = as_list(data), as_map(data)
        if items is not None:
            return [self.go(item, f"{where}[{i}]") for i, item in enumerate(items)]
        if entries is not None:
            return {key: self.go(value, join(where, key)) for key, value in entries.items()}
        return self._text(data, where) if isinstance(data, str) else data

    def _text(self, text: str, where: str) -> str:
        if text.startswith("file:"):
            self.written[where] = clip(text, 200)
            return self._content(text.removeprefix("file:"), where)
        if "${" not in text:
            return text
        made = _NAMED.sub(lambda m: "$" if m[1] else self._value(m[2], where), text)
        if made != text:
            self.written[where] = clip(text, 200)
        return made

    def _value(self, name: str, where: str) -> str:
        value = self._variable(name)
        if value is None:
            self.problems.append(Problem(where, f"the environment variable {name}", "none of that name"))
            return ""
        return value

    def _content(self, path: str, where: str) -> str:
        file = self._folder / Path(path.removeprefix("//"))
        try:
            with file.open("rb") as source:
                text = source.read(MOST + 1).decode("utf-8").rstrip("\r\n")
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "it is no text in UTF-8"
            self.problems.append(Problem(where, f"a file {clip(str(file), 200)} that we can read", str(why)))
            return ""
        if len(text) > MOST or not sound(text):
            self.problems.append(Problem(where, f"a file of at most {MOST} bytes, {CLEAN_SAYS}", "another"))
            return ""
        return text
