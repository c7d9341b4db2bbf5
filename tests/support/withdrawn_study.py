"""Light studies of three centers, one of which withdraws, and the same ones in which it never was."""

import shutil
import tomllib
from contextlib import AbstractContextManager
from pathlib import Path

from server.study.file import Study
from server.superlink.link import Link
from server.withdrawal.certificate import Statement
from server.withdrawal.withdrawal import withdraw
from tests.support.light_study import STUDY, Light, light
from tests.support.study_text import centers_text, stage_text

HEAD = STUDY[: STUDY.index("[centers.a]")]


def stages_text(*names: str) -> str:
    """Two rounds of each stage, by its centers: "ab", "abc", ..."""
    return "".join(
        stage_text(f"stage-{place}", centers, kind="arrive", rounds=2, local_steps=1)
        for place, centers in enumerate(names, start=1)
    )


LATE_COMER = HEAD + centers_text("abc") + stages_text("ab", "abc", "ab")
NEVER_THERE = HEAD + centers_text("ab") + stages_text("ab", "ab", "ab")
PRETRAINED = (
    HEAD
    + centers_text("abc")
    + stage_text("pretrain", "ab", kind="pretrain", rounds=1, local_steps=1)
    + stages_text("ac")
)
"""Whoever is of the first stage trained the backbone that all later adapters stand on."""


def study_of(text: str) -> Study:
    return Study.model_validate(tomllib.loads(text))


def light_late_comer(folder: Path) -> Light:
    """A study of three stages, done, whose center c came in the second."""
    return ran(folder, LATE_COMER)


def copied(study: Light, folder: Path) -> Light:
    """A copy that a test may change."""
    return Light(Path(shutil.copytree(study.root, folder / "out")), study.centers)


def no_link() -> AbstractContextManager[Link]:
    """Of a study that was simulated: nobody asks a SuperLink."""
    raise AssertionError("a SuperLink was asked")


def ran(folder: Path, text: str) -> Light:
    """A study, done."""
    found = light(folder, text, "abc" if "[centers.c]" in text else "ab")
    found.run()
    return found


def leave(study: Light, center: str) -> Statement:
    """Withdraw a center from a simulated study."""
    return withdraw(study.directory, center, connect=no_link).statement


def going_on(folder: Path, root: Path) -> Light:
    """The study that a withdrawal prepared in `root`, with centers that know nothing of the one before."""
    text = (root / "study.toml").read_text()
    names = [name for name in "abc" if f"[centers.{name}]" in text]
    return Light(root, light(folder, NEVER_THERE, names).centers)
