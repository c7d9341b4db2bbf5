"""What a federation survives: processes killed at random moments, cut links, a slow center.

    python -m tests.rehearsal.faults --runs 20 --out DIR [--seed 0] [--only kill|cut|slow]

One coordinator and three centers stay up; every run is the same short study from its beginning, with one fault at a
moment drawn from the seed, within the time that a quiet run takes. A run is good when its bank equals that of the quiet
run hash by hash, or when its result names each center that was left out of a round. What was killed is left to our own
supervisors; `serve` and `join` themselves are started again here, as systemd or a container runtime would.

DIR/quiet.json and DIR/NN-FAULT.json are kept: what is there is not run again. The last line printed is one JSON object.
"""

import argparse
import json
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from protocol.storage.atomic_files import write_text
from tests.rehearsal.consortium import COORDINATOR, Consortium
from tests.rehearsal.disturbances import CUTS, SLOW, TARGETS, disturb
from tests.rehearsal.network import Network, RehearsalError
from tests.rehearsal.short_study import NAMES, begin_again, set_up

LIMIT_S, BACK_S = 900.0, 400.0
EARLIEST, LATEST = 0.05, 0.85  # no run is exactly as long as the quiet one, and a fault must not come after its end
QUIET, QUIET_FILE = "quiet", "quiet.json"


@dataclass(frozen=True)
class Plan:
    """One run: which fault, when after the launch as a share of a quiet run's time, and at which center."""

    number: int
    fault: str
    share: float
    center: str

    @property
    def file(self) -> str:
        """The name of its outcome."""
        return f"{self.number:02d}-{self.fault}.json"


@dataclass(frozen=True)
class Outcome:
    """What became of one run.

    seconds: from launch to the end. done: what was done, and at which second. starts: runs that Flower was given.
    left_out: "center, round (code)" for each center that missed a round. late: updates that came too late.
    """

    fault: str
    state: str
    seconds: float
    done: str
    starts: int
    left_out: tuple[str, ...]
    late: int
    bank: Any

    def verdict(self, quiet: Any) -> str:
        """In words, against the bank of a quiet run."""
        if self.state != "complete":
            return f"NOT FINISHED ({self.state})"
        if self.bank == quiet:
            return "same bank"
        return f"left out: {'; '.join(self.left_out)}" if self.left_out else "ANOTHER BANK"


def draw_plans(runs: int, seed: int, only: str) -> list[Plan]:
    """The kills, every target in turn, then the cuts and the slow center; the moments are drawn from the seed."""
    rng = random.Random(seed)
    faults = [TARGETS[number % len(TARGETS)] for number in range(runs)] + [*CUTS, SLOW]
    drawn = [
        Plan(number, fault, rng.uniform(EARLIEST, LATEST), rng.choice(NAMES))
        for number, fault in enumerate(faults, start=1)
    ]
    return [plan for plan in drawn if not only or plan.fault.startswith(only)]


class Outcomes:
    """The outcomes in a folder, one file each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def missing(self, chosen: Sequence[Plan]) -> bool:
        """Whether a run is still to be made."""
        return not all((self._folder / name).exists() for name in (QUIET_FILE, *(plan.file for plan in chosen)))

    def fetch(self, name: str, run: Callable[[], Outcome]) -> Outcome:
        """The outcome in a file, which `run` makes where it is not there."""
        path = self._folder / name
        if not path.exists():
            write_text(path, json.dumps(asdict(run())))
        found = json.loads(path.read_text())
        return Outcome(**{**found, "left_out": tuple(found["left_out"])})


class Rehearsal:
    """Runs the plans on one layout of hosts."""

    def __init__(self, consortium: Consortium, kits: dict[str, Path]) -> None:
        self._consortium, self._kits = consortium, kits

    def run_quiet(self) -> Outcome:
        """A run that nothing disturbs."""
        return self._run(QUIET, lambda _begun: "")

    def run_disturbed(self, plan: Plan, quiet_s: float) -> Outcome:
        """A run with one fault; in the main thread, since what it starts ends with its thread."""

        def act(begun: float) -> str:
            time.sleep(max(0.0, plan.share * quiet_s - (time.time() - begun)))
            at_s = time.time() - begun
            try:
                return f"{disturb(self._consortium, plan.fault, plan.center, self._kits)} at {at_s:.0f} s"
            except RehearsalError as error:
                return f"nothing at {at_s:.0f} s: {error}"

        return self._run(plan.fault, act)

    def _run(self, fault: str, act: Callable[[float], str]) -> Outcome:
        consortium, progress = self._consortium, self._consortium.directory.progress
        consortium.wait_online(NAMES, within_s=BACK_S)
        begin_again(consortium)
        consortium.coordinate("launch", consortium.directory.root)
        begun = time.time()
        done = act(begun)
        state = self._end_state(begun)
        seconds = (progress.stat().st_mtime if progress.exists() else time.time()) - begun
        return self._outcome(fault, state, seconds, done)

    def _end_state(self, begun: float) -> str:
        while time.time() - begun < LIMIT_S:
            state = str(self._consortium.progress().get("state", ""))
            if state == "complete":
                return state
            time.sleep(0.5)
        return str(self._consortium.progress().get("state", "")) or "never began"

    def _outcome(self, fault: str, state: str, seconds: float, done: str) -> Outcome:
        result = self._consortium.result() if self._consortium.directory.result.exists() else {}
        missed = [row for row in result.get("rounds", ()) if row["error"]]
        return Outcome(
            fault=fault,
            state=state,
            seconds=round(seconds, 1),
            done=done,
            starts=int(json.loads(self._consortium.directory.launch.read_text())["starts"]),
            left_out=tuple(f"{row['center']} of round {row['server_round']} ({row['error']})" for row in missed),
            late=len(result.get("late", ())),
            bank=result.get("bank"),
        )


def show(outcomes: Sequence[tuple[Plan, Outcome]], quiet: Outcome) -> dict[str, Any]:
    """Print the table; gives it for machines."""
    table = Table("run", "fault", "what was done", "s", "starts", "late", "outcome", title="Faults")
    rows = []
    for plan, outcome in outcomes:
        verdict = outcome.verdict(quiet.bank)
        cells = (str(plan.number), plan.fault, outcome.done, f"{outcome.seconds:.0f}", str(outcome.starts))
        table.add_row(*cells, str(outcome.late), verdict)
        rows.append({"run": plan.number, **asdict(outcome), "bank": None, "verdict": verdict})
    Console(width=160).print(table)
    counts = Counter(verdict_kind(row["verdict"]) for row in rows)
    return {"quiet_s": quiet.seconds, "runs": len(rows), **counts, "outcomes": rows}


def verdict_kind(verdict: str) -> str:
    """A verdict without its particulars."""
    kinds = {"same bank": "same", "left out": "left_out", "ANOTHER BANK": "another", "NOT FINISHED": "unfinished"}
    return next(kind for words, kind in kinds.items() if verdict.startswith(words))


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; 1 where a run ended with another bank and nobody left out, or not at all."""
    parser = argparse.ArgumentParser(description="Disturb a short study and see what comes of it.")
    parser.add_argument("--runs", type=int, default=20, help="kills; the cuts and the slow center come on top")
    parser.add_argument("--out", type=Path, required=True, help="outcomes; what is there is not run again")
    parser.add_argument("--seed", type=int, default=0, help="moments and centers are drawn from it")
    parser.add_argument("--only", choices=("kill", "cut", "slow"), default="", help="one sort of fault")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    outcomes, chosen = Outcomes(options.out), draw_plans(options.runs, options.seed, options.only)
    if outcomes.missing(chosen):
        rehearse(outcomes, chosen)
    quiet = outcomes.fetch(QUIET_FILE, unexpected)
    found = show([(plan, outcomes.fetch(plan.file, unexpected)) for plan in chosen], quiet)
    sys.stdout.write(json.dumps(found) + "\n")
    return int(bool(found.get("another", 0) or found.get("unfinished", 0)))


def rehearse(outcomes: Outcomes, chosen: Sequence[Plan]) -> None:
    """Lay out the hosts and make every run that is missing; on SIGTERM the hosts are taken away too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="faults-") as folder, Network([COORDINATOR, *NAMES]) as network:
        consortium = Consortium(network, Path(folder))
        try:
            rehearsal = Rehearsal(consortium, set_up(consortium))
            quiet = outcomes.fetch(QUIET_FILE, rehearsal.run_quiet)
            for plan in chosen:
                outcome = outcomes.fetch(plan.file, partial(rehearsal.run_disturbed, plan, quiet.seconds))
                sys.stdout.write(f"{plan.file}: {outcome.verdict(quiet.bank)}\n")
                sys.stdout.flush()
        except RehearsalError:
            sys.stderr.write(consortium.logs())
            raise
        finally:
            consortium.stop()


def unexpected() -> Outcome:
    """What is asked for an outcome after all were made."""
    raise RehearsalError("an outcome that was just made is gone; run this again")


if __name__ == "__main__":
    sys.exit(main())
