"""Damaged bytes for as long as one likes: `python -m tests.fuzz.long_run --minutes 30 [--target nifti] [--seed 1]`.

Prints each input that gave something else than a documented error, as a line for `findings.py`, and a count at the end.
"""

import argparse
import random
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.fuzz.mutations import mutate
from tests.fuzz.targets import TARGETS


def run(name: str, seconds: float, seed: int) -> int:
    """Damage seeds, and what became of them, until the time is over; how many kinds of errors were found."""
    target, rng, kinds, count = TARGETS[name](), random.Random(seed), Counter[str](), 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        data = mutate(rng.choice(target.seeds), rng)
        count += 1
        try:
            target(data)
        except Exception as error:  # noqa: BLE001 - whatever comes is what is looked for
            place = traceback.extract_tb(error.__traceback__)[-1]
            kind = f"{type(error).__name__} at {place.filename}:{place.lineno}"
            kinds[kind] += 1
            if kinds[kind] == 1:
                print(f"{name}: {kind}: {str(error)[:120]}\n    {data[:2000]!r}", flush=True)
    print(f"{name}: {count} inputs, {len(kinds)} kinds of errors", flush=True)
    return len(kinds)


def main() -> None:
    """Read the options and run each target for its share of the time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--target", choices=sorted(TARGETS), action="append")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    names = options.target or sorted(TARGETS)
    found = [run(name, 60 * options.minutes / len(names), options.seed) for name in names]
    sys.exit(1 if any(found) else 0)


if __name__ == "__main__":
    main()
