"""The study that test_federation.py rehearses, its cohort with a planted patient name, and the run of it all."""

import gzip
import json
import os
import shutil
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from client.data.synthetic import CENTERS, write_synthetic_cohort
from tests.rehearsal.consortium import BIN, COORDINATOR, Consortium, wait_until
from tests.rehearsal.disturbances import hold_trainer, slow_down
from tests.support.study_text import NETWORK, NO_GATE, QUARTERS, centers_text, head_text, stage_text

NAMES = ("center-a", "center-b", "center-c", "center-d")
CANARY, CANARY_CENTER = "DOE-JANE-19540321", "center-d"
REFERENCE = "reference"
DESCRIP = slice(148, 228)
TAMPERED, TAKEN_OVER = Path(__file__).parent / "tampered_app", Path(__file__).parent / "taken_over"

STUDY = (
    head_text("federation", "Four hospitals rehearse", "seed = 3", "deadline_s = 600", "reconnect_s = 120")
    + NETWORK
    + QUARTERS
    + NO_GATE
    + centers_text(NAMES, {"center-d": 'modalities = ["ct"]'})
    + stage_text("pretrain", NAMES[:2], kind="pretrain")
    + stage_text("adapt", NAMES[:3])
    + stage_text("arrive", NAMES[3:], kind="arrive", local_steps=400)
)


def write_cohort(root: Path) -> None:
    """Four cases a center; those of one center have the canary in their folders' names and in both images' headers.

    That center has a fifth case that cannot be read, and a letter that lies among the images.
    """
    write_synthetic_cohort(root, centers=[replace(center, patients=4) for center in CENTERS], seed=0)
    folder = root / CANARY_CENTER
    for number, case in enumerate(sorted(path for path in folder.iterdir() if path.is_dir()), start=1):
        named = case.rename(folder / f"{CANARY}-{number}")
        for image in named.glob("*.nii.gz"):
            content = bytearray(gzip.decompress(image.read_bytes()))
            content[DESCRIP] = CANARY.encode().ljust(80, b"\0")
            image.write_bytes(gzip.compress(bytes(content), compresslevel=1))
        (named / f"letter-{CANARY}.txt").write_text(f"Dear {CANARY}")
    broken = folder / f"{CANARY}-broken"
    broken.mkdir()
    (broken / "ct.nii.gz").write_bytes(b"no image")


@dataclass
class Rehearsed:
    """A federation that has finished its study and still runs, and what was seen on the way.

    prepared: exit code and output of each center's first `join`, before it was accepted.
    dry: the same of one center's dry run, before it had a key; home_before: what it had written.
    while_running: what `concilium status --json` said while the study ran.
    tampered: what each center answered to a run of another bundle, by center.
    freed_s: seconds from the end of `concilium stop`, while a center trained, until its trainer had given up.
    """

    consortium: Consortium
    kits: dict[str, Path] = field(default_factory=dict)
    dry: tuple[int, str] = (0, "")
    home_before: list[Path] = field(default_factory=list)
    prepared: dict[str, tuple[int, str]] = field(default_factory=dict)
    while_running: list[dict[str, Any]] = field(default_factory=list)
    tampered: dict[str, str] = field(default_factory=dict)
    freed_s: float = 0

    @property
    def root(self) -> Path:
        """The coordinator's directory."""
        return self.consortium.directory.root


def rehearse(consortium: Consortium) -> Rehearsed:
    """Found, enrol, join, launch, stop, resume, and wait for the end."""
    found = Rehearsed(consortium)
    enrol_all(found)
    held = damage_images(consortium.folder)
    consortium.coordinate("launch", found.root)
    wait_for_stage(consortium, "pretrain")
    with hold_trainer(consortium, NAMES[0]):  # on a busy machine the stage would be over before the command looks
        start_tampered_run(consortium)
        found.while_running.append(consortium.status())
    wait_for_stage(consortium, "adapt")
    restore_images(held)
    with hold_trainer(consortium, NAMES[0]):
        found.while_running.append(consortium.status())
    with slow_down(consortium, NAMES[3]):
        answers = consortium.folder / "tampered" / "answers.json"
        consortium.wait_until(answers.exists, "answers to the tampered run", within_s=300)
        found.tampered = json.loads(answers.read_text())
        wait_for_stage(consortium, "arrive")
        found.freed_s = stop_while_training(consortium, NAMES[3])
    consortium.coordinate("resume", found.root)
    consortium.wait_until(lambda: consortium.progress().get("state") == "complete", "the end", within_s=900)
    return found


def enrol_all(found: Rehearsed) -> None:
    """Bring every center from an invitation to a running node."""
    consortium, folder = found.consortium, found.consortium.folder
    (folder / "study.toml").write_text(STUDY)
    consortium.start_sink()
    with ThreadPoolExecutor(2) as both:
        init = both.submit(consortium.init_study, folder / "study.toml")
        write_cohort(folder / "data")
        init.result()
        found.kits = dict(zip(NAMES, both.map(consortium.invite, NAMES), strict=True))
    consortium.serve(PYTHONPATH=str(TAKEN_OVER))
    found.dry = run_join(consortium, NAMES[0], found.kits[NAMES[0]], "--dry-run")
    found.home_before = list(consortium.home(NAMES[0]).rglob("*"))
    with ThreadPoolExecutor(2) as both:
        codes = both.map(lambda name: run_join(consortium, name, found.kits[name], "--prepare"), NAMES)
        found.prepared = dict(zip(NAMES, codes, strict=True))
        list(both.map(consortium.accept, NAMES))
    for name in NAMES:
        (consortium.home(name) / "trainer" / "draws.key").write_text("public\n")  # as the reference draws
        consortium.join(name, found.kits[name])
    start_reference(consortium)
    consortium.wait_online(NAMES)


def start_reference(consortium: Consortium) -> None:
    """Run the same study in one process beside it all, over a copy of the data; on a machine of the canary's center."""
    folder = consortium.folder / REFERENCE
    shutil.copytree(consortium.folder / "data", folder / "data")
    study = consortium.folder / "study.toml"
    command: list[str | Path] = ["nice", BIN / "concilium", "simulate", "--study", study, "--device", "cpu"]
    consortium.start(REFERENCE, CANARY_CENTER, [*command, "--data", folder / "data", "--out", folder / "out"])


def wait_for_stage(consortium: Consortium, name: str) -> None:
    """Wait until a stage's first round has begun."""
    consortium.wait_until(lambda: consortium.progress().get("stage") == name, f"stage {name}", within_s=600)


def stop_while_training(consortium: Consortium, center: str) -> float:
    """Stop the study while a center trains; how long its trainer took to give up after that."""
    log = consortium.home(center) / "trainer" / "outgoing.jsonl"
    before = log.read_text().count("\n")
    consortium.wait_until(
        lambda: bool(consortium.processes(center, "client.node.clientapp")), f"training at {center}", within_s=300
    )
    consortium.coordinate("stop", consortium.directory.root)
    begun = time.monotonic()
    consortium.wait_until(lambda: log.read_text().count("\n") > before, "the trainer's last word", within_s=120)
    return time.monotonic() - begun


def run_join(consortium: Consortium, center: str, kit: Path, *words: str) -> tuple[int, str]:
    """Exit code and output of a `join` that ends by itself."""
    done = consortium.run(center, consortium.join_command(center, kit, *words))
    return done.returncode, done.stdout + done.stderr


def damage_images(folder: Path) -> dict[Path, bytes]:
    """Damage the canary's images so that scoring them raises an error that names the patient; what they held.

    Size and time of change stay, so that the trainer does not scan its folders again when a stage begins.
    """
    wait_until((folder / CANARY_CENTER / "run" / "trainer.sock").exists, f"trainer of {CANARY_CENTER}", within_s=300)
    images = sorted((folder / "data" / CANARY_CENTER).glob(f"{CANARY}-[0-9]/ct.nii.gz"))
    held = {image: image.read_bytes() for image in images}
    for image, content in held.items():
        _write_unnoticed(image, bytes(len(content)))
    return held


def restore_images(held: Mapping[Path, bytes]) -> None:
    """Give the images back what they held."""
    for image, content in held.items():
        _write_unnoticed(image, content)


def _write_unnoticed(path: Path, content: bytes) -> None:
    found = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def start_tampered_run(consortium: Consortium) -> None:
    """Start a run of another bundle through the control port, as whoever has the coordinator's machine could."""
    answers = consortium.folder / "tampered"
    answers.mkdir()
    app = consortium.folder / "tampered-app"
    shutil.copytree(TAMPERED, app)
    program = (
        "import sys; from pathlib import Path; from flwr.cli.build import build_fab_from_disk;"
        "from server.study.directory import StudyDirectory; from server.superlink.control import connect_to;"
        "connect_to(StudyDirectory(Path(sys.argv[1]))).start_run("
        "build_fab_from_disk(Path(sys.argv[2])), {'study-directory': sys.argv[3]})"
    )
    consortium.python(COORDINATOR, program, consortium.directory.root, app, answers)
