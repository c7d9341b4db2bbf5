"""What a worker process does in place of a study; found by name in the process that is spawned."""

import os

from deploy.comparison.worker import RunJob


def pretend(job: RunJob) -> str:
    """Leave the threads it was given, then do as the job's name says."""
    job.out.mkdir(parents=True, exist_ok=True)
    (job.out / "threads").write_text(os.environ["OMP_NUM_THREADS"])
    if job.name.startswith("dies"):
        os._exit(9)
    if job.name.startswith("raises"):
        raise ValueError("no such arm")
    return "stopped by itself" if job.name.startswith("stops") else ""
