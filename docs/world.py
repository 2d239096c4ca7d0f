"""Writes the land of the world map, templates/world_land.html, as rows of dashes.

The outlines are Natural Earth's land at 1:110m (public domain, naturalearthdata.com), as TopoJSON: the file land-110m.json
of the npm package world-atlas. They are read once, by hand, and nothing is fetched: `python docs/world.py land-110m.json`.
"""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

WIDTH, HEIGHT, CELL = 576, 216, 4
TOP = 79.0
"""The northernmost latitude shown. A degree is 1.6 units wide and high, as in tocsin.web.pages.world."""
SCALE = WIDTH / 360
TO = Path(__file__).parent.parent / "src" / "tocsin" / "web" / "templates" / "world_land.html"

Ring = list[tuple[float, float]]


def rings(topology: dict[str, Any]) -> list[Ring]:
    """Every outline of the land, in degrees."""
    (kx, ky), (dx, dy) = topology["transform"]["scale"], topology["transform"]["translate"]
    arcs: list[Ring] = []
    for arc in topology["arcs"]:
        x = y = 0
        points: Ring = []
        for step in arc:
            x, y = x + step[0], y + step[1]
            points.append((x * kx + dx, y * ky + dy))
        arcs.append(points)
    found: list[Ring] = []
    for shape in topology["objects"]["land"]["geometries"]:
        polygons = shape["arcs"] if shape["type"] == "MultiPolygon" else [shape["arcs"]]
        found += [joined(arcs, ring) for polygon in polygons for ring in polygon]
    return found


def joined(arcs: list[Ring], numbers: list[int]) -> Ring:
    """One outline of its arcs; a negative number is an arc backwards."""
    ring: Ring = []
    for number in numbers:
        points = arcs[number] if number >= 0 else arcs[~number][::-1]
        ring += points[bool(ring) :]
    return ring


def is_land(outlines: list[Ring], x: float, y: float) -> bool:
    """Whether a place lies on land: an odd number of outlines is crossed on the way east."""
    inside = False
    for ring in outlines:
        for (x1, y1), (x2, y2) in pairwise(ring):
            if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
                inside = not inside
    return inside


def path(outlines: list[Ring]) -> str:
    """The dashes as an SVG path: a row each 4 units, cells of land next to each other are one dash."""
    drawn: list[str] = []
    for row in range(HEIGHT // CELL):
        y = row * CELL + CELL // 2
        latitude = TOP - y / SCALE
        near = [ring for ring in outlines if min(p[1] for p in ring) <= latitude <= max(p[1] for p in ring)]
        cells = [is_land(near, (col * CELL + CELL / 2) / SCALE - 180, latitude) for col in range(WIDTH // CELL)]
        start: int | None = None
        for col, land in enumerate([*cells, False]):
            if land and start is None:
                start = col
            elif not land and start is not None:
                drawn.append(f"M{start * CELL + 1} {y}h{(col - start) * CELL - 2}")
                start = None
    return "".join(drawn)


if __name__ == "__main__":
    outlines = rings(json.loads(Path(sys.argv[1]).read_text()))
    TO.write_text(f'<path class="land" d="{path(outlines)}"/>\n')
    print(f"wrote {TO.name}: {TO.stat().st_size} bytes")
