"""A study small enough for tests: two synthetic centers, one of them without PET, and the tiniest network."""

from dataclasses import replace
from pathlib import Path

from rich.console import Console

from client.data.synthetic import CENTERS, write_synthetic_cohort
from deploy.simulation.local import simulate
from server.study.directory import StudyDirectory
from tests.support.study_text import NETWORK, centers_text, head_text, stage_text

NAMES = ("center-a", "center-d")
STUDY = (
    head_text("small", "A small synthetic study", "seed = 5")
    + NETWORK.replace("rank", 'method = "dora"\nrank').replace("crop", "pet_window_suv = [0.0, 15.0]\ncrop")
    + centers_text(NAMES, {"center-d": 'modalities = ["ct"]'})
    + stage_text("pretrain", NAMES, kind="pretrain", rounds=2)
    + stage_text("adapt", NAMES, rounds=2, local_steps=4)
    + stage_text("arrive", NAMES[1:], kind="arrive")
)


def write_cohort(root: Path) -> Path:
    """Three synthetic patients at each of the two centers."""
    centers = [replace(center, patients=3) for center in CENTERS if center.name in NAMES]
    write_synthetic_cohort(root, centers=centers, seed=1)
    return root


def write_study(path: Path, text: str = STUDY) -> Path:
    """A study file."""
    path.write_text(text)
    return path


def run(study: Path, data: Path, out: Path, *, resume: bool = False) -> StudyDirectory:
    """Simulate quietly, in process, on the CPU."""
    return simulate(study, data, out, engine="in-process", device="cpu", resume=resume, console=Console(quiet=True))
