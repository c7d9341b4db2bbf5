"""A whole federation on one machine: the coordinator's round loop and every center's trainer, through Flower's apps."""

import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

import torch
from flwr.serverapp import Grid
from rich.console import Console

from client.app import build_client_app
from client.data.split_outlook import count_parts, split_words, thin_parts, withheld_words
from client.home.agreement import TrainerAgreement
from client.home.center_home import DEFAULT_MINIMUM_CASES
from client.report.center_report import write_center_report
from client.service.failure import Perform
from client.service.trainer import Trainer
from deploy.simulation.in_process import InProcessGrid
from deploy.simulation.ray_engine import run_with_ray
from deploy.simulation.summed_keys import draw_keys
from deploy.study.prepare import prepare
from protocol.enrolment.plan import agreed_digest
from protocol.errors import StudyError
from protocol.messages.instruction import Part
from protocol.messages.settings import Split
from protocol.storage.atomic_files import make_private_folder
from server.centers.study_plan import plan_of
from server.grid.center_grid import CenterGrid
from server.rounds.running import run_study
from server.study.directory import StudyDirectory
from server.study.display import Display
from server.study.file import Study
from server.study.withdrawn import read_withdrawn

MakeTrainer = Callable[[str], Trainer]
Sign = Callable[[str, Perform], Perform]
Engine = Callable[[Callable[[Grid], None], Mapping[str, Trainer], MakeTrainer, Sign], None]


def simulate(
    study_file: Path,
    data: Path,
    out: Path,
    *,
    engine: str,
    device: str,
    resume: bool,
    console: Console,
    backbone: Path | None = None,
) -> StudyDirectory:
    """Run a study over folders of cases on this machine, or continue it, and leave its outputs in `out`.

    A center that withdrew from it is not asked any more, and no case of it is read.

    Args:
        backbone: safetensors file with the backbone to start from in place of one drawn from the study's seed.

    Raises:
        StudyError: the study file cannot be run, `out` holds a study and `resume` was not asked for, the engine is
            unknown, or the backbone does not fit.
        CaseError: a center's data cannot be used; raised before anything is trained.
        WithdrawalError: a center withdrew whose updates the study had used; it goes on elsewhere.
    """
    if engine not in ENGINES:
        raise StudyError(f"unknown engine '{engine}'; known: {sorted(ENGINES)}")
    directory = StudyDirectory(out)
    if directory.study_file.exists() and not resume:
        raise StudyError(f"{out} holds a study already; continue it with --resume or give another --out")
    study = prepare(study_file, out, backbone)
    keys = draw_keys(study, directory)
    if keys.keys and engine == "ray":
        raise StudyError(
            "engine 'ray' starts centers anew as it likes, and their secrets of a sum end with their process; use "
            "--engine in-process, or leave [secure_aggregation] out"
        )
    trainer_for = partial(make_trainer, study, data, out, find_device(device), authority_pem=keys.authority_pem)
    gone = {found.center: "revoked" for found in read_withdrawn(directory)}
    trainers = {center: trainer_for(center) for center in study.centers if center not in gone}
    counts = {}
    for center, trainer in trainers.items():
        with console.status(f"checking the cases of {center}"):
            counts[center] = count_parts(trainer.check_cases(study.settings_for(center)).values())
    if told := at_real_centers(study.split, counts):
        console.print(told, markup=False)
    try:
        with Display(study, console) as display:
            ENGINES[engine](
                lambda grid: run_study(
                    CenterGrid(grid, poll_s=0.2), out, listen=display.listen, turned_away=lambda: gone
                ),
                trainers,
                trainer_for,
                keys.sign,
            )
    finally:
        _write_center_reports(study, trainers, out)
    return directory


def at_real_centers(split: Split, counts: Mapping[str, Mapping[Part, int]]) -> str:
    """What real centers would hold back that hold these cases and join with the defaults; "" where they hold nothing.

    Args:
        split: the study's.
        counts: center -> part -> cases.
    """
    alike: dict[str, list[str]] = {}
    for center, parts in counts.items():
        if thin := thin_parts(parts, split, DEFAULT_MINIMUM_CASES):
            alike.setdefault(f"({split_words(parts)}): {withheld_words(thin)}", []).append(center)
    who = [f"{', '.join(centers)} {told}" for told, centers in alike.items()]
    if not who:
        return ""
    return (
        "a simulation withholds nothing: figures leave its centers from 1 case on. Real centers send from "
        f"{DEFAULT_MINIMUM_CASES} on, unless they join with another --minimum-cases, and would withhold: "
        f"{'; '.join(who)}"
    )


def _write_center_reports(study: Study, centers: Iterable[str], out: Path) -> None:
    for center in centers:
        home = center_home(out, center)
        write_center_report(home, home / "report.html", center=center, formed_by=study.formed_by)


def make_trainer(study: Study, data: Path, out: Path, device: str, center: str, *, authority_pem: str = "") -> Trainer:
    """The trainer of one center of a study."""
    entry, folders, home = study.centers[center], folders_of(study, data, center), center_home(out, center)
    agreement = agreement_of(study, center, authority_pem)
    return Trainer(center, folders, entry.modalities, home, device=device, agreement=agreement, rows=entry.rows)


def folders_of(study: Study, data: Path, center: str) -> list[Path]:
    """The folders with a center's cases."""
    return [data / folder for folder in (study.centers[center].folders or (center,))]


def agreement_of(study: Study, center: str, authority_pem: str = "") -> TrainerAgreement:
    """What a center would have agreed to that joined the study with a kit."""
    settings, plan = study.settings_for(center), plan_of(study, center)
    return TrainerAgreement(
        center=center,
        study=study.name,
        title=study.title,
        settings=settings,
        plan=plan,
        agreed_sha256=agreed_digest(settings, plan),
        rows=study.centers[center].rows,
        authority=authority_pem,
    )


def center_home(out: Path, center: str) -> Path:
    """Where a simulated center keeps what is its own."""
    return out / "centers" / center


def share_folder(link: Path, folder: Path) -> None:
    """Make `link` lead to `folder`, relative, so that the whole output can be moved; in a private folder."""
    if not link.exists():
        make_private_folder(link.parent)
        link.symlink_to(os.path.relpath(folder, link.parent), target_is_directory=True)


def find_device(name: str) -> str:
    """The device to use; "auto" is the GPU where there is one.

    Raises:
        StudyError: this machine does not have it.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name not in {"cpu", "cuda"} or (name == "cuda" and not torch.cuda.is_available()):
        raise StudyError(
            f"device '{name}' is not on this machine; use --device auto, cpu, or cuda where torch finds a GPU"
        )
    return name


def run_in_process(
    coordinate: Callable[[Grid], None], trainers: Mapping[str, Trainer], _trainer_for: MakeTrainer, sign: Sign
) -> None:
    """Every center in this process, one after another."""
    performers = {center: sign(center, trainer.perform) for center, trainer in trainers.items()}
    coordinate(InProcessGrid({center: build_client_app(perform) for center, perform in performers.items()}))


def run_in_ray(
    coordinate: Callable[[Grid], None], trainers: Mapping[str, Trainer], trainer_for: MakeTrainer, _sign: Sign
) -> None:
    """Every center in a worker process of Flower's simulation engine, which makes its trainer there."""
    gpus = 1.0 if any(trainer.device == "cuda" for trainer in trainers.values()) else 0.0
    run_with_ray(coordinate, partial(performer, trainer_for), list(trainers), gpus_per_center=gpus)


def performer(trainer_for: MakeTrainer, center: str) -> Perform:
    """What performs for a center, made where it is needed."""
    return trainer_for(center).perform


ENGINES: Mapping[str, Engine] = {"in-process": run_in_process, "ray": run_in_ray}
