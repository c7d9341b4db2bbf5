"""The short study that faults are tried on: three centers, two stages of two rounds, a few seconds of training each."""

import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from client.data.synthetic import CENTERS, write_synthetic_cohort
from tests.rehearsal.consortium import Consortium
from tests.support.study_text import NETWORK, NO_GATE, QUARTERS, centers_text, head_text, stage_text

NAMES = ("center-a", "center-b", "center-c")
DISK_CENTER = NAMES[-1]
"""Whose home has a disk of its own."""
STUDY = (
    head_text(
        "rehearsal", "A short study to disturb", "seed = 11", "quorum = 2", "deadline_s = 420", "reconnect_s = 240"
    )
    + NETWORK
    + QUARTERS
    + NO_GATE
    + centers_text(NAMES)
    + stage_text("pretrain", NAMES, kind="pretrain", rounds=2, local_steps=150)
    + stage_text("adapt", NAMES, rounds=2, local_steps=100)
)
KEPT = frozenset(
    {
        *("study.toml", "tensors.json", "initial.safetensors", "adapter_config.json", "coordinator.toml"),
        *("authority", "server", "enrolment", "kits", "backbone", "link", "logs", "run", "watchdog.json"),
        *("study.lock", "superexec.secret", "flwr", "roster.json"),
    }
)


def set_up(consortium: Consortium, study: str = STUDY, patients: int = 4) -> dict[str, Path]:
    """Make the study and bring all centers online; gives their kits."""
    folder = consortium.folder
    write_synthetic_cohort(folder / "data", centers=[replace(each, patients=patients) for each in CENTERS], seed=0)
    (folder / "study.toml").write_text(study)
    consortium.init_study(folder / "study.toml")
    kits = {center: consortium.invite(center) for center in NAMES}
    consortium.serve()
    for center in NAMES:
        bring_in(consortium, center, kits[center])
    consortium.wait_online(NAMES)
    return kits


def bring_in(consortium: Consortium, center: str, kit: Path) -> str:
    """From a kit to a center that runs; gives what its checks said.

    It draws as any center of that name would, so that banks of a study are equal from one layout of hosts to the next.
    """
    prepared = consortium.run(center, consortium.join_command(center, kit, "--prepare"))
    trainer = consortium.home(center) / "trainer"
    trainer.mkdir(mode=0o700, exist_ok=True)
    (trainer / "draws.key").write_text("public\n")
    consortium.accept(center)
    consortium.join(center, kit)
    return prepared.stdout + prepared.stderr


def begin_again(consortium: Consortium, centers: Sequence[str] = NAMES) -> None:
    """Forget what the study has come to, on both sides: the next launch begins with its first round."""
    root = consortium.directory.root
    for path in root.iterdir():
        if path.name not in KEPT and not path.name.endswith(".lock"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for center in centers:
        with suppress(FileNotFoundError):
            shutil.rmtree(consortium.home(center) / "trainer" / "outbox")
