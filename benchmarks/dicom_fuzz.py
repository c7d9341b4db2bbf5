"""Damages a made DICOM archive for as long as one likes, and says which damage would make a silently wrong case.

    python benchmarks/dicom_fuzz.py --minutes 10 --seed 1

Each trial damages one file of a fresh copy in one way (tests/support/damaged_archive.py) and reads everything. A trial
fails when the volumes differ and no issue says so, or when anything but a refused series is raised. Every failing trial
is printed with its seed; the exit status is 1 if there was any.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.support.damaged_archive import DAMAGES, Reading, make_archive, read_all, silently_wrong


def main() -> int:
    """Run trials until the time is up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0, help="of the first trial")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder, "archive")
        make_archive(archive)
        whole = read_all(archive)
        until, seed, failures = time.monotonic() + 60 * arguments.minutes, arguments.seed, 0
        while time.monotonic() < until:
            failures += not run_trial(archive, Path(folder, "copy"), whole, seed)
            seed += 1
    print(f"{seed - arguments.seed} trials, {failures} failed")
    return int(failures > 0)


def run_trial(archive: Path, copied: Path, whole: Reading, seed: int) -> bool:
    """Whether the damage of this seed is told, or changes nothing."""
    shutil.rmtree(copied, ignore_errors=True)
    shutil.copytree(archive, copied)
    files = sorted(path for path in copied.rglob("*") if path.is_file())
    before = {path: path.read_bytes() for path in files}
    name = list(DAMAGES)[seed % len(DAMAGES)]
    hit = DAMAGES[name](files, random.Random(seed))  # noqa: S311 - draws damage, no secret
    try:
        wrong = silently_wrong(read_all(copied), whole, before[hit], hit.read_bytes())
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
        print(f"seed {seed}: {name} of {hit.name} raises {type(error).__name__}: {error}")
        return False
    if wrong:
        print(f"seed {seed}: {name} of {hit.name} changes a volume and is not told")
    return not wrong


if __name__ == "__main__":
    sys.exit(main())
