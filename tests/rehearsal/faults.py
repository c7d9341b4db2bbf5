"""What a federation survives: processes killed at random moments, cut links, a slow center, and each fault of a table.

    python -m tests.rehearsal.faults --runs 20 --out DIR [--seed 0] [--only NAME ...]

One coordinator and three centers stay up; every run is the same short study from its beginning. Kills, cuts and the
slow center come at a moment drawn from the seed, within the time that a quiet run takes; the cells of `incidents` wait
for their own moment; those of `own_studies` have a study of their own. A run is good when what its cell expects was
seen and its bank equals the quiet one hash by hash, or its result names each center that was left out of a round.
What was killed is left to our own supervisors; `serve` and `join` themselves are started again here, as systemd or a
container runtime would. NAME is a fault or how its name begins: `kill`, `cut`, `slow`, `case-nan`.

DIR/quiet.json and DIR/NN-FAULT.json are kept: what is there is not run again. The last line printed is one JSON object.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from protocol.storage.atomic_files import write_text
from tests.rehearsal.consortium import COORDINATOR, Consortium
from tests.rehearsal.disturbances import CUTS, SLOW, TARGETS, disturb
from tests.rehearsal.findings import Findings
from tests.rehearsal.incidents import CELLS
from tests.rehearsal.network import Network, RehearsalError
from tests.rehearsal.own_studies import OWN
from tests.rehearsal.short_study import DISK_CENTER, NAMES, begin_again, set_up
from tests.rehearsal.small_disk import small_disks

LIMIT_S, BACK_S = 2400.0, 1500.0
TIMES = 2
"""How often each cell is tried."""
EARLIEST, LATEST = 0.05, 0.85  # no run is exactly as long as the quiet one, and a fault must not come after its end
QUIET, QUIET_FILE = "quiet", "quiet.json"
AS_EXPECTED = "as expected"
BAD = ("another", "unfinished", "unseen")


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
    unseen: what the cell expected and did not see. excused: why another bank is right.
    """

    fault: str
    state: str
    seconds: float
    done: str
    starts: int
    left_out: tuple[str, ...]
    late: int
    bank: Any
    unseen: tuple[str, ...] = ()
    excused: str = ""

    def verdict(self, quiet: Any) -> str:
        """In words, against the bank of a quiet run."""
        if self.state != "complete":
            return f"NOT FINISHED ({self.state})"
        if self.unseen:
            return f"NOT SEEN: {'; '.join(self.unseen)}"
        if self.fault in OWN:
            return AS_EXPECTED
        if self.bank == quiet:
            return "same bank"
        if self.left_out:
            return f"left out: {'; '.join(self.left_out)}"
        return f"{AS_EXPECTED}: {self.excused}" if self.excused else "ANOTHER BANK"


def draw_plans(runs: int, seed: int, only: Sequence[str]) -> list[Plan]:
    """The kills, every target in turn, the cuts and the slow center, then the cells; all is drawn from the seed."""
    rng = random.Random(seed)
    faults = [TARGETS[number % len(TARGETS)] for number in range(runs)] + [*CUTS, SLOW]
    drawn = [
        Plan(number, fault, rng.uniform(EARLIEST, LATEST), rng.choice(NAMES))
        for number, fault in enumerate([*faults, *TIMES * (*CELLS, *OWN)], start=1)
    ]
    return [plan for plan in drawn if not only or plan.fault.startswith(tuple(only))]


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
        return Outcome(**{**found, "left_out": tuple(found["left_out"]), "unseen": tuple(found.get("unseen", ()))})


class Rehearsal:
    """Runs the plans on one layout of hosts."""

    def __init__(self, consortium: Consortium, kits: dict[str, Path]) -> None:
        self._consortium, self._kits = consortium, kits

    def run_quiet(self) -> Outcome:
        """A run that nothing disturbs."""
        return self._run(QUIET, lambda _begun, _found: None)

    def run_disturbed(self, plan: Plan, quiet_s: float) -> Outcome:
        """A run with one fault; in the main thread, since what it starts ends with its thread."""

        def act(begun: float, found: Findings) -> None:
            if plan.fault in CELLS:
                try:
                    CELLS[plan.fault](self._consortium, plan.center, self._kits, found)
                except RehearsalError as error:
                    found.unseen.append(str(error).partition("\n")[0])
                return
            time.sleep(max(0.0, plan.share * quiet_s - (time.time() - begun)))
            at_s = time.time() - begun
            try:
                found.note(f"{disturb(self._consortium, plan.fault, plan.center, self._kits)} at {at_s:.0f} s")
            except RehearsalError as error:
                found.note(f"nothing at {at_s:.0f} s: {error}")

        return self._run(plan.fault, act)

    def _run(self, fault: str, act: Callable[[float, Findings], None]) -> Outcome:
        consortium, progress = self._consortium, self._consortium.directory.progress
        consortium.wait_online(NAMES, within_s=BACK_S)
        begin_again(consortium)
        consortium.coordinate("launch", consortium.directory.root)
        begun, found = time.time(), Findings()
        try:
            act(begun, found)
            state = self._end_state(time.time())
        finally:
            found.put_right()
        seconds = (progress.stat().st_mtime if progress.exists() else time.time()) - begun
        return self._outcome(fault, state, seconds, found)

    def _end_state(self, begun: float) -> str:
        while time.time() - begun < LIMIT_S:
            state = str(self._consortium.progress().get("state", ""))
            if state == "complete":
                return state
            time.sleep(0.5)
        return str(self._consortium.progress().get("state", "")) or "never began"

    def _outcome(self, fault: str, state: str, seconds: float, found: Findings) -> Outcome:
        result = self._consortium.result() if self._consortium.directory.result.exists() else {}
        missed = [row for row in result.get("rounds", ()) if row["error"]]
        return Outcome(
            fault=fault,
            state=state,
            seconds=round(seconds, 1),
            done="; ".join(found.done),
            starts=int(json.loads(self._consortium.directory.launch.read_text())["starts"]),
            left_out=tuple(f"{row['center']} of round {row['server_round']} ({row['error']})" for row in missed),
            late=len(result.get("late", ())),
            bank=result.get("bank"),
            unseen=tuple(found.unseen),
            excused=found.excused,
        )


def run_alone(plan: Plan) -> Outcome:
    """A cell with a study of its own; what stops it is what was not seen."""
    begun, found = time.time(), Findings()
    try:
        OWN[plan.fault](found)
    except (RehearsalError, subprocess.TimeoutExpired) as error:
        found.unseen.append(str(error).partition("\n")[0])
    seconds = round(time.time() - begun, 1)
    return Outcome(plan.fault, "complete", seconds, "; ".join(found.done), 1, (), 0, None, tuple(found.unseen))


def show(outcomes: Sequence[tuple[Plan, Outcome]], quiet: Outcome | None) -> dict[str, Any]:
    """Print the table; gives it for machines."""
    table = Table("run", "fault", "what was done", "s", "starts", "late", "outcome", title="Faults")
    rows = []
    for plan, outcome in outcomes:
        verdict = outcome.verdict(quiet.bank if quiet else None)
        cells = (str(plan.number), plan.fault, outcome.done, f"{outcome.seconds:.0f}", str(outcome.starts))
        table.add_row(*cells, str(outcome.late), verdict)
        rows.append({"run": plan.number, **asdict(outcome), "bank": None, "verdict": verdict})
    Console(width=160).print(table)
    counts = Counter(verdict_kind(row["verdict"]) for row in rows)
    return {"quiet_s": quiet.seconds if quiet else None, "runs": len(rows), **counts, "outcomes": rows}


def verdict_kind(verdict: str) -> str:
    """A verdict without its particulars."""
    kinds = {"same bank": "same", "left out": "left_out", "ANOTHER BANK": "another", "NOT FINISHED": "unfinished"}
    kinds |= {AS_EXPECTED: "as_expected", "NOT SEEN": "unseen"}
    return next(kind for words, kind in kinds.items() if verdict.startswith(words))


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; 1 where a run ended with another bank and nobody left out, not at all, or not as expected."""
    parser = argparse.ArgumentParser(description="Disturb a short study and see what comes of it.")
    parser.add_argument("--runs", type=int, default=20, help="kills; the cuts and the slow center come on top")
    parser.add_argument("--out", type=Path, required=True, help="outcomes; what is there is not run again")
    parser.add_argument("--seed", type=int, default=0, help="moments and centers are drawn from it")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="faults, or how their names begin")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    outcomes, chosen = Outcomes(options.out), draw_plans(options.runs, options.seed, options.only)
    if outcomes.missing(chosen):
        rehearse(outcomes, chosen)
    quiet = outcomes.fetch(QUIET_FILE, unexpected) if any(plan.fault not in OWN for plan in chosen) else None
    found = show([(plan, outcomes.fetch(plan.file, unexpected)) for plan in chosen], quiet)
    sys.stdout.write(json.dumps(found) + "\n")
    return int(any(found.get(kind, 0) for kind in BAD))


def rehearse(outcomes: Outcomes, chosen: Sequence[Plan]) -> None:
    """Lay out the hosts and make every run that is missing; on SIGTERM the hosts are taken away too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    together = [plan for plan in chosen if plan.fault not in OWN]
    if together and outcomes.missing(together):
        rehearse_together(outcomes, together)
    for plan in chosen:
        if plan.fault in OWN:
            tell(plan, outcomes.fetch(plan.file, partial(run_alone, plan)), None)


def rehearse_together(outcomes: Outcomes, chosen: Sequence[Plan]) -> None:
    """Make the runs that share a study; root and one center's home have small disks."""
    with ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="faults-")))
        held.enter_context(small_disks(folder / "root", folder / DISK_CENTER))
        consortium = Consortium(held.enter_context(Network([COORDINATOR, *NAMES])), folder)
        held.callback(consortium.stop)
        try:
            rehearsal = Rehearsal(consortium, set_up(consortium))
            quiet = outcomes.fetch(QUIET_FILE, rehearsal.run_quiet)
            for plan in chosen:
                run = partial(rehearsal.run_disturbed, plan, quiet.seconds)
                tell(plan, outcomes.fetch(plan.file, run), quiet.bank)
        except RehearsalError:
            sys.stderr.write(consortium.logs())
            raise


def tell(plan: Plan, outcome: Outcome, quiet: Any) -> None:
    """One line, as soon as a run is over."""
    sys.stdout.write(f"{plan.file}: {outcome.verdict(quiet)}: {outcome.done}\n")
    sys.stdout.flush()


def unexpected() -> Outcome:
    """What is asked for an outcome after all were made."""
    raise RehearsalError("an outcome that was just made is gone; run this again")


if __name__ == "__main__":
    sys.exit(main())
