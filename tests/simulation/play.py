"""Playing seeds: which cluster a seed is, what came of it, and its story when it broke."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from simulation.scene import Plan, Scene, random_scene
from simulation.world import Broken

CLUSTERS: tuple[tuple[str, dict[str, str]], ...] = (
    ("ab", {}),
    ("abc", {}),
    ("abcde", {}),
    ("abw", {"w": "witness"}),
    ("abco", {"o": "observer"}),
)
"""The sizes that are played in turn: two, three, five, two and a witness, three and an observer."""


@dataclass
class Played:
    """What became of some seeds."""

    seeds: int = 0
    broken: dict[int, str] = field(default_factory=dict)
    told: int = 0
    duplicates: int = 0
    elections: int = 0
    writes: int = 0
    by: Counter[str] = field(default_factory=Counter)


def play(seed: int, plan: Plan | None = None, *, story: bool = False) -> Scene:
    """Play one seed to its end; raises Broken."""
    names, kinds = CLUSTERS[seed % len(CLUSTERS)]
    plan = plan or Plan()
    scene = random_scene(seed, names, plan, kinds=kinds, story=story)
    try:
        scene.world.run(plan.lasts_s)
        scene.finish()
    except Broken as error:
        error.scene = scene  # type: ignore[attr-defined]
        raise
    return scene


def play_all(seeds: range, plan: Plan | None = None) -> Played:
    """Play many; those that broke are named with what broke."""
    played = Played()
    for seed in seeds:
        played.seeds += 1
        try:
            truth = play(seed, plan).world.truth
        except Broken as error:
            played.broken[seed] = str(error)
            played.by[str(error).split(":")[0]] += 1
            continue
        played.told += len(truth.arrived)
        played.duplicates += truth.duplicates
        played.elections += truth.elections
        played.writes += truth.writes
    return played


def story(seed: int, plan: Plan | None = None) -> str:
    """The story of a seed, from its beginning to where it broke or ended."""
    try:
        return play(seed, plan, story=True).world.story()
    except Broken as error:
        scene: Scene = error.scene  # type: ignore[attr-defined]
        return scene.world.story()
