"""A light study of two centers to which a third one comes, and the same one in which it was from the beginning."""

from collections.abc import Iterable
from pathlib import Path

from server.study.extension import Addition, read_addition
from tests.support.light_study import STUDY, Light, light
from tests.support.study_text import centers_text, stage_text

ARRIVAL = "# who came in May\n" + centers_text("c") + stage_text("come", "c", kind="arrive", rounds=2, local_steps=1)
FROM_THE_BEGINNING = f"{STUDY.rstrip()}\n\n{ARRIVAL.strip()}\n"


def write_addition(folder: Path, text: str = ARRIVAL) -> Path:
    path = folder / "addition.toml"
    path.write_text(text)
    return path


def addition(folder: Path, text: str = ARRIVAL) -> Addition:
    return read_addition(write_addition(folder, text))


def three(folder: Path, text: str = STUDY, names: Iterable[str] = "abc") -> Light:
    """The study with the nodes of three centers, of which the study may name two."""
    return light(folder, text, names)
