"""One process that carries out runs, one after another; torch is imported here and nowhere above.

How many threads torch uses decides the order of its sums on a CPU, and so the last bits of a result: every process gets
the same number, which is recorded beside each result.
"""

import json
import os
import signal
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from multiprocessing import connection, parent_process
from pathlib import Path

from protocol.storage.atomic_files import make_private_folder, write_text

RECORD, ERROR, LOG = "run.json", "error.txt", "log.txt"
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class RunJob:
    """A study to simulate in `out`; `backbone` is the frozen one it starts from, where there is one.

    cache: prepared cases, shared by all runs; an entry is named by the content it was made of.
    """

    name: str
    study_file: Path
    data: Path
    out: Path
    device: str
    cache: Path
    threads: int
    backbone: Path | None = None


def ready() -> None:
    """Leave the interrupt of the keyboard to the process that started this one, and end when that one is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def carry_out(job: RunJob) -> str:
    """Run one study to its end, or continue it, and return "" or what stopped it; its words go to `log.txt`."""
    make_private_folder(job.out)
    error = job.out / ERROR
    start = time.monotonic()
    with (job.out / LOG).open("a", encoding="utf-8") as log:
        _speak_into(log.fileno())
        try:
            simulate_run(job)
        except Exception:  # noqa: BLE001 - one failed run must not take the others with it
            error.write_text(traceback.format_exc(), encoding="utf-8")
            return traceback.format_exc(limit=0).strip().splitlines()[-1]
        finally:
            _silence()
    error.unlink(missing_ok=True)
    _record(job, time.monotonic() - start)
    return ""


def simulate_run(job: RunJob) -> None:
    """Simulate the study of one run, in process, on the shared cases."""
    import torch
    from rich.console import Console

    from deploy.simulation.local import center_home, share_folder, simulate
    from server.study.file import read_study

    torch.set_num_threads(job.threads)
    make_private_folder(job.cache)
    for center in read_study(job.study_file).centers:
        share_folder(center_home(job.out, center) / "cache", job.cache)
    simulate(
        job.study_file,
        job.data,
        job.out,
        engine="in-process",
        device=job.device,
        resume=True,
        console=Console(file=sys.stdout, force_terminal=False, width=160),
        backbone=job.backbone,
    )


def _record(job: RunJob, seconds: float) -> None:
    """What bears on the result and stands in no result: threads and device."""
    import torch

    from deploy.simulation.local import find_device

    facts = {
        "run": job.name,
        "threads": torch.get_num_threads(),
        "device": find_device(job.device),
        "last_session_seconds": seconds,
    }
    write_text(job.out / RECORD, json.dumps(facts, indent=1))


def _speak_into(descriptor: int) -> None:
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)


def _silence() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    _speak_into(nowhere)
    os.close(nowhere)
