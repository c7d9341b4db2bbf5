"""What a coordinator costs by number of centers: seconds and memory of a round, bytes on the disk, the report.

    python benchmarks/speed/many_centers.py [--sizes 64 250 1000 3000] [--rounds 4] [--engine in-process|ray]
    python benchmarks/speed/many_centers.py --heavy 10      (real trainers on phantoms, in place of light ones)

Everything of the coordinator is real: instructions, validation, aggregation, checkpoint, history, audit log, bank,
MLflow, progress file, report. Light centers answer at once and keep nothing, and what their apps take is taken off, so
that time and memory are the coordinator's and those of the in-process Grid. `cpu_s` is of the round's own thread,
`beside_cpu_s` of what works beside it, which is MLflow. Each number of centers has a process of its
own. `exponent` is the slope of log(CPU seconds a round) over log(centers), by least squares: 1 is linear. `growth` is
what the last round took beside the second one: 1 is flat. The last line is one JSON object.
"""

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from flwr.serverapp import Grid
from many_performers import Timed, perform_in_earnest, perform_lightly, write_cases
from rich.console import Console
from rich.table import Table
from round_moments import MIB, Clock, figures, peak_bytes, resident_bytes

from client.app import build_client_app
from deploy.simulation.in_process import InProcessGrid
from deploy.supervision.telemetry import SWITCHED_OFF
from server.grid.center_grid import CenterGrid
from server.results.report import report_html
from server.results.result import read_result
from server.rounds.running import run_study
from server.runs.progress_file import ProgressFile
from server.study.directory import StudyDirectory, read_prepared
from server.study.events import tell_all

SIZES, ROUNDS = (64, 250, 1000, 3000), 4
FEWEST_FITTED = 64
MODEL, HEAVY_MODEL = "pemma-unetr-small", "pemma-unetr-tiny"
HEAVY_STEPS = 20


def _size_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def run_one(root: Path, engine: str, data: Path | None) -> dict[str, float]:
    """Run a prepared study, of light centers or of trainers on the cases in `data`; figures a round, all but the first.

    What Ray's workers take is not this process's; there the time of the round is also theirs.
    """
    os.environ.update(SWITCHED_OFF)
    directory, study, timed = StudyDirectory(root), read_prepared(root).study, Timed()
    clock, before = Clock(directory, lambda: timed.seconds), resident_bytes()
    with ProgressFile(directory, study, "1") as progress:

        def coordinate(grid: Grid) -> None:
            listen = tell_all(progress.listen, clock.listen)
            run_study(CenterGrid(grid, poll_s=0.05 if engine == "ray" else 0), root, listen=listen)

        if engine == "ray":
            from deploy.simulation.ray_engine import run_with_ray

            run_with_ray(coordinate, partial(perform_lightly, root), list(study.centers))
        else:
            perform = partial(perform_lightly, root) if data is None else partial(perform_in_earnest, root, data)
            apps = {name: timed.wrap(build_client_app(perform(name))) for name in study.centers}
            coordinate(InProcessGrid(apps))
    ended = time.process_time(), time.perf_counter()
    found = figures(clock.moments, len(study.centers), before)
    found["mib_peak"] = peak_bytes() / MIB
    found["mib_a_center"] = (found["mib_peak"] - found["mib_before"]) / len(study.centers)
    last = clock.moments[-1]
    found |= {"end_cpu_s": ended[0] - last.process_cpu_s, "end_wall_s": ended[1] - last.wall_s}
    begun = time.process_time()
    text = report_html(read_result(directory.result) or {})
    found |= {"report_s": time.process_time() - begun, "report_mib": len(text.encode()) / MIB}
    for name, folder in (("bank_mib", directory.bank), ("root_mib", root)):
        found[name] = _size_below(folder) / MIB
    return found


def exponent(rows: Sequence[Mapping[str, float]], name: str) -> float:
    """The slope of log(figure) over log(centers) of the rows with `FEWEST_FITTED` centers or more; NaN of one alone."""
    fitted = [row for row in rows if row["centers"] >= FEWEST_FITTED]
    if len(fitted) < 2:
        return math.nan
    x, y = ([math.log(row[key]) for row in fitted] for key in ("centers", name))
    return statistics.linear_regression(x, y).slope


def measure(
    folder: Path, centers: int, rounds: int, model: str, *, engine: str = "in-process", heavy: bool = False
) -> Any:
    """The figures of one number of centers, in a process of its own."""
    from light_study import write_study

    from deploy.study.prepare import prepare

    root, data = folder / f"centers-{centers}", folder / f"data-{centers}"
    file = write_study(folder / f"{centers}.toml", model, centers, rounds, HEAVY_STEPS if heavy else 1)
    study = prepare(file, root)
    if heavy:
        write_cases(data, list(study.centers))
    command = [sys.executable, str(Path(__file__).resolve()), "--one", str(root), "--engine", engine]
    command += ["--data", str(data)] if heavy else []
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603 - this very script
    return json.loads(done.stdout.splitlines()[-1])


def show(rows: Sequence[Mapping[str, float]], title: str) -> None:
    """Print the rows as a table."""
    names = list(rows[0])
    table = Table(*names, title=title)
    for row in rows:
        table.add_row(*(f"{row[name]:.3g}" if isinstance(row[name], float) else str(row[name]) for name in names))
    Console(width=250).print(table)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description="What a coordinator costs by number of centers.")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of light centers")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="rounds of each; the first is left out")
    parser.add_argument("--model", default=MODEL, help="whose tensors light centers send")
    parser.add_argument("--engine", choices=("in-process", "ray"), default="in-process")
    parser.add_argument(
        "--heavy", type=int, default=0, help="so many centers with real trainers, in place of light ones"
    )
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(run_one(options.one, options.engine, options.data)))
        return
    os.environ.update(SWITCHED_OFF)
    sizes, model = ((options.heavy,), HEAVY_MODEL) if options.heavy else (options.sizes, options.model)
    rows = []
    for centers in sizes:
        with tempfile.TemporaryDirectory(prefix="many-centers-") as folder:
            given = {"engine": options.engine, "heavy": bool(options.heavy)}
            rows.append(measure(Path(folder), centers, options.rounds, model, **given))
        print(json.dumps(rows[-1]), flush=True)
    show(rows, f"{'Heavy' if options.heavy else 'Light'} centers, {model}, {options.engine}")
    fits = {f"exponent_{name}": exponent(rows, name) for name in ("cpu_s", "wall_s")}
    machine = {"machine": f"{platform.machine()}, {os.cpu_count()} cores", "load": os.getloadavg()[0]}
    print(json.dumps({**machine, "model": model, "engine": options.engine, **fits, "rows": rows}))


if __name__ == "__main__":
    main()
