"""Four hospitals' nodes and trainers sum in secret over TLS, and one center is killed at each phase of a round.

    python benchmarks/killed_sums.py --out DIR [--only advertise|share|train|unmask] [--patience-s 180]

Everything between a center's training and the result is as hospitals run it: `serve` with its proxy, enrolled keys, a
signed roster, guarded ClientApps, trainers' sockets; what is trained is drawn from the center's name. The result must
be the mean of the three that stayed, or of all four where the fourth's tensors had come. Scores are summed as well:
the last row is the mean Dice of the three.
DIR/PHASE.json is kept: what is there is not run again. The last line is one JSON object.
"""

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import deployed_study
import numpy as np
from deployed_study import DeployedStudy, wait_until
from light_study import study_text
from summed_center import DIES_AT, share_of

from protocol.local_steps import reach_of
from protocol.messages.tensors import Tensors
from protocol.storage.atomic_files import write_text
from server.study import checkpoint as checkpoints
from server.study.directory import read_prepared
from server.study.history import ALL_CENTERS, StageRow
from tests.rehearsal.short_study import KEPT

HERE = Path(__file__).resolve().parent
NAMES = ("center-a", "center-b", "center-c", "center-d")
KILLED = "center-b"
PHASES = ("advertise", "share", "train", "unmask")
CLOSE = 1e-8
"""Of a mean: a sum is off by 2e-10, and the means of three and of four of these centers lie 1.5e-6 apart."""
SUMMED = "[secure_aggregation]\nscores = 'summed'\n\n[strategy]\nrollback = false"
DICE_CLOSE = 1e-6
"""Of a mean Dice."""
WAITS = "deadline_s = 600\nreconnect_s = 20"
"""Who was killed is not back before the round ends, and is not waited for as a hospital's center is."""


@dataclass(frozen=True)
class Outcome:
    """What came of a round; off_survivors, off_all: largest difference from the mean of three and of four.

    dice_off: of the scores after the round, which the three that stayed sum, from the mean of what they scored.
    """

    phase: str
    state: str
    seconds: float
    errors: tuple[tuple[str, str], ...]
    off_survivors: float
    off_all: float
    dice_off: float = float("inf")

    @property
    def verdict(self) -> str:
        """Whose mean it is."""
        if self.state == "running":
            return "NO END"
        if self.state != "complete":
            return "refused"
        if self.dice_off > DICE_CLOSE:
            return "OTHER SCORES"
        if self.off_survivors < CLOSE:
            return "mean of the survivors"
        return "mean of all" if self.off_all < CLOSE else "ANOTHER RESULT"


def distance(found: Tensors, expected: Tensors) -> float:
    """The largest difference of two values; infinite where nothing came, or of other keys."""
    if not found or not expected.keys() <= found.keys():
        return float("inf")
    return max(float(np.abs(found[key] - array).max()) for key, array in expected.items())


def dice_off(row: StageRow, behind: Collection[str]) -> float:
    """How far the summed Dice of a row is from the mean of these centers; infinite where no sum was opened."""
    dice = row.test[ALL_CENTERS]["ct"].value("dice") if ALL_CENTERS in row.test else None
    return float("inf") if dice is None else abs(dice - float(np.mean([share_of(center) for center in behind])))


def forget(root: Path) -> None:
    """Take away what a study has come to; the next launch begins with its first round."""
    for path in root.iterdir():
        if path.name not in KEPT and not path.name.endswith(".lock"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


class Killing:
    """The deployed study, brought to its end once for each phase."""

    def __init__(self, folder: Path, patience_s: float) -> None:
        self._patience_s = patience_s
        text = study_text("pemma-unetr-tiny", (16, 16, 16), NAMES, 1).replace("deadline_s = 600", WAITS)
        (folder / "study.toml").write_text(text.replace("[strategy]", SUMMED))
        self.deployed = DeployedStudy(folder, folder / "study.toml", NAMES, HERE / "summed_center.py")
        self.deployed.start(0, 0)
        self.deployed.concilium("roster", "--study", self.deployed.directory.root)

    def run(self, phase: str) -> Outcome:
        """Launch, let the center die at its phase, and wait for the end."""
        deployed, directory = self.deployed, self.deployed.directory
        deployed.wait_online(deployed.centers)
        forget(directory.root)
        died = deployed.folder / KILLED / DIES_AT
        died.write_text(phase)
        begun = time.monotonic()
        deployed.concilium("launch", directory.root, "--patience-s", str(self._patience_s))
        wait_until(lambda: not died.exists(), f"death at '{phase}'", within_s=5 * self._patience_s)
        deployed.kill(KILLED)
        with suppress(TimeoutError):
            wait_until(lambda: self._state() in {"complete", "failed"}, "the end", within_s=5 * self._patience_s)
        state = self._state()
        found = checkpoints.load(directory.checkpoint)
        rounds = json.loads(directory.result.read_text())["rounds"] if directory.result.exists() else []
        outcome = Outcome(
            phase=phase,
            state=state,
            seconds=round(time.monotonic() - begun, 1),
            errors=tuple((row["center"], row["error"]) for row in rounds if row["error"]),
            off_survivors=distance({} if found is None else found.shared, self._mean([*set(NAMES) - {KILLED}])),
            off_all=distance({} if found is None else found.shared, self._mean(NAMES)),
            dice_off=float("inf") if found is None else dice_off(found.history.rows[-1], set(NAMES) - {KILLED}),
        )
        deployed.join(KILLED, 0, 0)
        return outcome

    def _state(self) -> str:
        with suppress(OSError, ValueError):
            return str(json.loads(self.deployed.directory.progress.read_text())["state"])
        return "never began"

    def _mean(self, centers: Collection[str]) -> Tensors:
        """What these centers, of as many cases each, come to from the study's start."""
        prepared = read_prepared(self.deployed.directory.root)
        study, (stage,) = prepared.study, prepared.study.stages
        training = study.training_in(stage, 0)
        moved = np.float32(np.mean([share_of(center) for center in centers])) * np.float32(reach_of(training).move / 2)
        live = {spec.key for spec in prepared.specs if spec.key.partition("#")[2] in training.roles}
        return {key: prepared.initial[key] + moved for key in sorted(live & prepared.initial.keys())}


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; 1 where a result is nobody's mean."""
    parser = argparse.ArgumentParser(description="Kill a center at each phase of a sum.")
    parser.add_argument("--out", type=Path, required=True, help="outcomes; what is there is not run again")
    parser.add_argument("--only", choices=PHASES, help="one phase")
    parser.add_argument("--patience-s", type=float, default=180, help="for programs to start; more on a busy machine")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    # Ended from outside it still ends the programs that it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    deployed_study.ONLINE_S = options.patience_s
    chosen = [options.only] if options.only else list(PHASES)
    if left := [phase for phase in chosen if not (options.out / f"{phase}.json").exists()]:
        with tempfile.TemporaryDirectory(prefix="sum-") as folder:
            killing = Killing(Path(folder), options.patience_s)
            try:
                for phase in left:
                    write_text(options.out / f"{phase}.json", json.dumps(asdict(killing.run(phase))))
            finally:
                killing.deployed.stop()
    rows = []
    for phase in chosen:
        outcome = Outcome(**json.loads((options.out / f"{phase}.json").read_text()))
        rows.append({**asdict(outcome), "verdict": outcome.verdict})
        sys.stdout.write(f"{phase:10} {outcome.verdict:22} {outcome.seconds:6.0f} s  {outcome.errors}\n")
    sys.stdout.write(json.dumps({"runs": rows}) + "\n")
    return int(any(row["verdict"] in {"ANOTHER RESULT", "NO END"} for row in rows))


if __name__ == "__main__":
    sys.exit(main())
