"""Four hospitals sum in secret over TLS, and one of them is killed at each phase of a round.

    python -m tests.rehearsal.summed_consortium --out DIR [--only advertise|share|train|unmask]

The result must be the mean of the three that stayed or, where the fourth's tensors had come, of all four: both are
computed in the open by `concilium simulate`. DIR/PHASE.json is kept: what is there is not run again. The last line
printed is one JSON object.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from client.data.synthetic import CENTERS, write_synthetic_cohort
from protocol.messages.tensors import Tensors
from protocol.storage.atomic_files import write_text
from server.study import checkpoint as checkpoints
from server.study.directory import StudyDirectory
from tests.rehearsal.consortium import BIN, COORDINATOR, Consortium
from tests.rehearsal.disturbances import find_trainer
from tests.rehearsal.network import Network
from tests.rehearsal.short_study import begin_again
from tests.support.study_text import NETWORK, NO_GATE, QUARTERS, centers_text, head_text, stage_text

NAMES = ("center-a", "center-b", "center-c", "center-d")
KILLED = "center-b"
LAST_WORD: Mapping[str, str] = {"advertise": "register", "share": "advertise", "train": "share", "unmask": "train"}
"""Phase -> what the center answered last when it is killed, so that it is gone from that phase on."""
LIMIT_S = 1800.0
CLOSE = 1e-5


@dataclass(frozen=True)
class Outcome:
    """What came of a round at one of whose phases a center was killed.

    off_survivors, off_all: largest difference of a value from the mean of the three others, and of all four.
    """

    phase: str
    state: str
    seconds: float
    errors: tuple[tuple[str, str], ...]
    off_survivors: float
    off_all: float

    @property
    def verdict(self) -> str:
        """Whose mean it is."""
        if self.state != "complete":
            return "refused"
        if self.off_survivors < CLOSE:
            return "mean of the survivors"
        return "mean of all" if self.off_all < CLOSE else "ANOTHER RESULT"


def study_text(names: Sequence[str], tables: str = "") -> str:
    """One round of these centers."""
    head = ("seed = 7", "quorum = 3", "deadline_s = 1200", "reconnect_s = 20")
    return (
        head_text("summed", "Hospitals that sum in secret", *head)
        + NETWORK
        + QUARTERS
        + NO_GATE
        + tables
        + centers_text(names)
        + stage_text("arrive", names, kind="arrive", local_steps=20)
    )


def set_up(consortium: Consortium) -> dict[str, Path]:
    """Bring all centers online, with a roster that the authority signed; gives their kits."""
    folder = consortium.folder
    write_synthetic_cohort(folder / "data", centers=[replace(center, patients=4) for center in CENTERS], seed=0)
    (folder / "study.toml").write_text(study_text(NAMES, "[secure_aggregation]\n"))
    consortium.init_study(folder / "study.toml")
    kits = {center: consortium.invite(center) for center in NAMES}
    consortium.serve()
    for center in NAMES:
        consortium.run(center, consortium.join_command(center, kits[center], "--prepare"))
        consortium.accept(center)
        (consortium.home(center) / "trainer" / "draws.key").write_text("public\n")  # as `simulate` draws
    consortium.coordinate("roster", "--study", consortium.directory.root)
    for center in NAMES:
        consortium.join(center, kits[center])
    return kits


def simulate_in_the_open(consortium: Consortium, names: Sequence[str]) -> Tensors:
    """What these centers come to where the coordinator sees everything."""
    place = consortium.folder / f"open-{len(names)}"
    place.mkdir()
    (place / "study.toml").write_text(study_text(names))
    words: list[str | Path] = [BIN / "concilium", "simulate", "--study", place / "study.toml", "--device", "cpu"]
    done = consortium.run(COORDINATOR, [*words, "--data", consortium.folder / "data", "--out", place / "out"])
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    return shared_of(StudyDirectory(place / "out"))


def shared_of(directory: StudyDirectory) -> Tensors:
    """The shared tensors that a study has come to; none before its first checkpoint."""
    state = checkpoints.load(directory.checkpoint)
    return {} if state is None else state.shared


def distance(first: Tensors, second: Tensors) -> float:
    """The largest difference of two values; infinite where the keys differ."""
    if first.keys() != second.keys():
        return float("inf")
    return max((float(np.abs(first[key] - second[key]).max()) for key in first), default=0.0)


class Rehearsal:
    """Runs the study once for each phase, on one layout of hosts."""

    def __init__(self, consortium: Consortium) -> None:
        self._consortium, self._kits = consortium, set_up(consortium)
        self._all = simulate_in_the_open(consortium, NAMES)
        self._survivors = simulate_in_the_open(consortium, [name for name in NAMES if name != KILLED])

    def run(self, phase: str) -> Outcome:
        """Launch, kill the center when it has said its last word, and wait for the end."""
        consortium = self._consortium
        consortium.wait_online(NAMES)
        begin_again(consortium, NAMES)
        said = self._words()
        consortium.coordinate("launch", consortium.directory.root)
        begun = time.monotonic()
        consortium.wait_until(
            lambda: LAST_WORD[phase] in self._words()[len(said) :], f"'{LAST_WORD[phase]}'", within_s=900, pause_s=0.02
        )
        self._kill()
        state = self._end_state()
        found = shared_of(consortium.directory)
        rounds = consortium.result()["rounds"] if consortium.directory.result.exists() else []
        outcome = Outcome(
            phase=phase,
            state=state,
            seconds=round(time.monotonic() - begun, 1),
            errors=tuple((row["center"], row["error"]) for row in rounds if row["error"]),
            off_survivors=distance(found, self._survivors),
            off_all=distance(found, self._all),
        )
        consortium.join(KILLED, self._kits[KILLED])
        return outcome

    def _words(self) -> list[str]:
        """What the center has answered so far, kind by kind."""
        log = self._consortium.home(KILLED) / "trainer" / "outgoing.jsonl"
        lines = log.read_text().splitlines() if log.exists() else []
        return [str(json.loads(line).get("kind", "")) for line in lines if line.endswith("}")]

    def _kill(self) -> None:
        """End everything of the center at once, what supervises it first."""
        process = self._consortium.running.pop(f"join-{KILLED}")
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=60)
        trainer = find_trainer(self._consortium, KILLED)
        for pid in [*self._consortium.processes(KILLED, "client.node"), *([] if trainer is None else [trainer])]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _end_state(self) -> str:
        ends_at, state = time.monotonic() + LIMIT_S, ""
        while state not in {"complete", "failed"} and time.monotonic() < ends_at:
            state = str(self._consortium.progress().get("state", ""))
            time.sleep(0.5)
        return state or "never began"


def rehearse(phases: Sequence[str], keep: Callable[[Outcome], object]) -> None:
    """Lay out the hosts and make the runs; on SIGTERM the hosts are taken away too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="sum-") as folder, Network([COORDINATOR, *NAMES]) as network:
        consortium = Consortium(network, Path(folder))
        try:
            rehearsal = Rehearsal(consortium)
            for phase in phases:
                keep(rehearsal.run(phase))
        except BaseException:
            sys.stderr.write(json.dumps(consortium.logs(), indent=1))
            raise
        finally:
            consortium.stop()


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; 1 where a result is nobody's mean."""
    parser = argparse.ArgumentParser(description="Kill a center at each phase of a sum.")
    parser.add_argument("--out", type=Path, required=True, help="outcomes; what is there is not run again")
    parser.add_argument("--only", choices=tuple(LAST_WORD), default="", help="one phase")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    chosen = [options.only] if options.only else list(LAST_WORD)
    if left := [phase for phase in chosen if not (options.out / f"{phase}.json").exists()]:
        rehearse(left, lambda found: write_text(options.out / f"{found.phase}.json", json.dumps(asdict(found))))
    found = [Outcome(**json.loads((options.out / f"{phase}.json").read_text())) for phase in chosen]
    rows = [{**asdict(outcome), "verdict": outcome.verdict} for outcome in found]
    for row in rows:
        sys.stdout.write(f"{row['phase']:10} {row['verdict']:22} {row['seconds']:6.0f} s  {row['errors']}\n")
    sys.stdout.write(json.dumps({"runs": rows}) + "\n")
    return int(any(row["verdict"] == "ANOTHER RESULT" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
