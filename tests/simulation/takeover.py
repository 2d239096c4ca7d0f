"""How long it takes from losing a primary until the next one is usable."""

from __future__ import annotations

from simulation.scene import Scene


def takeover(seed: int, names: str, loss: float) -> float:
    """Seconds from the crash of the primary to the next one in office, in an otherwise quiet world."""
    scene = Scene(seed, names, rates=0.01)
    world = scene.world
    world.network.loss = loss
    world.run_while(lambda: scene.primary() is None, 600)
    world.run(world.now + world.random.uniform(20, 60))
    world.run_while(lambda: scene.primary() is None, 600)
    primary = scene.primary()
    assert primary is not None
    lost_at = world.now
    primary.crash("for the measurement")
    while scene.primary() is None:
        world.run(world.now + 0.1)
        assert world.now < lost_at + 900, f"seed {seed}: no primary within 900 s"
    return world.now - lost_at


def spread(names: str, loss: float, seeds: int = 60) -> tuple[float, float, float]:
    """p50, p95 and the longest over so many seeds."""
    took = sorted(takeover(seed, names, loss) for seed in range(seeds))
    return took[len(took) // 2], took[int(len(took) * 0.95)], took[-1]


def figures() -> str:
    """A table of them."""
    lines = ["from losing the primary to the next usable one, 60 seeds each: p50 / p95 / longest"]
    for names in ("abc", "abcde"):
        for loss in (0.0, 0.1, 0.3):
            middle, high, most = spread(names, loss)
            lines.append(
                f"  {len(names)} voters, {loss:.0%} of messages lost: {middle:.1f} / {high:.1f} / {most:.1f} s"
            )
    return "\n".join(lines)
