"""Where G global tokens stand among the L local ones of one raster scan (arXiv 2408.14415, figure of the placements).

    head          g .. g  l .. l
    middle        h locals, all globals, the other locals;  h = L // 2
    split         G // 2 globals, h locals, the other globals, the other locals
    interleaved   I = ceil(L / G), P = I + 1: a global at every multiple of P from P ceil((G - L // I) / P) on, and the
                  globals that remain at the head

Locals and globals each keep their order. Interleaved is not perfectly even: what does not divide gathers at the head.
L = 10, G = 3 gives g llll g llll g ll. Positions count from 0 over all L + G tokens.
"""

from collections.abc import Callable, Mapping

Positions = list[int]


def head(_local_count: int, global_count: int) -> Positions:
    """Positions of the globals: all before the first local."""
    return list(range(global_count))


def middle(local_count: int, global_count: int) -> Positions:
    """Positions of the globals: all after half of the locals."""
    half = local_count // 2
    return list(range(half, half + global_count))


def split(local_count: int, global_count: int) -> Positions:
    """Positions of the globals: half at the head, half after half of the locals."""
    first, half = global_count // 2, local_count // 2
    return [*range(first), *range(first + half, half + global_count)]


def interleave(local_count: int, global_count: int) -> Positions:
    """Positions of the globals: one before every I locals, the surplus at the head."""
    run = -(-local_count // global_count)
    period = run + 1
    start = period * -(-(global_count - local_count // run) // period)
    slots = range(start, local_count + global_count, period)
    return [*range(global_count - len(slots)), *slots]


PLACEMENTS: Mapping[str, Callable[[int, int], Positions]] = {
    "head": head,
    "middle": middle,
    "split": split,
    "interleaved": interleave,
}


def global_positions(placement: str, local_count: int, global_count: int) -> Positions:
    """Positions of the globals, ascending.

    Raises:
        ValueError: a placement that does not exist, or a count below 1.
    """
    if placement not in PLACEMENTS:
        raise ValueError(f"placement must be one of {', '.join(PLACEMENTS)}, found '{placement}'")
    if min(local_count, global_count) < 1:
        raise ValueError(
            f"a placement needs at least one local and one global token, found {local_count} and {global_count}"
        )
    return PLACEMENTS[placement](local_count, global_count)


def local_positions(at: Positions, total: int) -> Positions:
    """Positions among `total` that the globals at `at` leave to the locals, ascending."""
    taken = set(at)
    return [t for t in range(total) if t not in taken]
