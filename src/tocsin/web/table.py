"""Which route a method and a path mean."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from tocsin.web.call import Route
from tocsin.web.problem import Refused


@dataclass(slots=True)
class _Place:
    """A path with what may be asked of it. A word of `words` is None where a parameter stands."""

    words: tuple[str | None, ...]
    routes: dict[str, Route] = field(default_factory=dict[str, Route])

    def fits(self, words: tuple[str, ...]) -> bool:
        return all(ours is None or ours == theirs for ours, theirs in zip(self.words, words, strict=True))


class Table:
    """Routes by path. A parameter is one whole, non-empty word between slashes; of two places that fit, the one whose
    words are written out further to the left wins. Empty words count for nothing: `/health/` is `/health`."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._places: dict[int, list[_Place]] = {}  # by their number of words
        for route in routes:
            self._add(route)
        for places in self._places.values():
            places.sort(key=lambda place: [word is None for word in place.words])

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        """The route and the values of its parameters. Raises Refused: 404 for a path that is not there, 405 for a
        method that it does not take (both name nothing of the path)."""
        words = tuple(filter(None, path.split("/")))
        place = next((p for p in self._places.get(len(words), ()) if p.fits(words)), None)
        if place is None:
            raise Refused(404, "there is nothing at this URL")
        route = place.routes.get("GET" if method == "HEAD" else method)
        if route is None:
            raise Refused(405, "this URL does not take that method", headers={"allow": _allowed(place)})
        return route, {_name(w): given for w, given in zip(_words(route), words, strict=True) if _is_parameter(w)}

    def _add(self, route: Route) -> None:
        words = tuple(None if _is_parameter(w) else w for w in _words(route))
        places = self._places.setdefault(len(words), [])
        place = next((p for p in places if p.words == words), None)
        if place is None:
            place = _Place(words)
            places.append(place)
        if route.method in place.routes:
            raise ValueError(f"two routes are {route.method} {route.path}")
        place.routes[route.method] = route


def _words(route: Route) -> list[str]:
    return [word for word in route.path.split("/") if word]


def _is_parameter(word: str) -> bool:
    return word.startswith("{")


def _name(word: str) -> str:
    return word.strip("{}")


def _allowed(place: _Place) -> str:
    return ", ".join([*place.routes, *(["HEAD"] if "GET" in place.routes else []), "OPTIONS"])
