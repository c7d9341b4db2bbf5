"""What may be added to a study that is under way or done: centers and stages, in the words of the study file.

    study.toml + addition -> study.toml    what is there stays word for word, what is added stands after it

Tensors and settings were fixed when the study was prepared, and every center agreed to them; an addition that needs
others needs a study of its own.
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from protocol.errors import StudyError
from protocol.messages.settings import findings
from protocol.messages.tensors import NEEDS
from protocol.modalities import parts_of
from protocol.storage.parsed_text import UnreadableTextError, read_toml
from server.study.file import Study
from server.study.stage import Stage

TABLES = frozenset({"centers", "stages"})


@dataclass(frozen=True)
class Addition:
    """Centers and stages to add, as a file has them, and its text."""

    centers: Mapping[str, Any]
    stages: Sequence[Any]
    text: str


def read_addition(path: Path) -> Addition:
    """The tables of an addition.

    Raises:
        StudyError: the file cannot be read, is not TOML, has no [[stages]], or has what is neither center nor stage.
    """
    try:
        table = read_toml(path)
    except FileNotFoundError as error:
        raise StudyError(f"{path} does not exist; give a file with [centers.NAME] and [[stages]]") from error
    except OSError as error:
        raise StudyError(f"{path} cannot be read: {error.strerror}; give a file that this user may read") from error
    except UnreadableTextError as error:
        raise StudyError(f"{path} is not valid TOML: {error}") from error
    centers, stages = table.get("centers", {}), table.get("stages", [])
    if others := sorted(table.keys() - TABLES):
        raise StudyError(f"{path} has {others}; an addition has [centers.NAME] and [[stages]] alone")
    if not isinstance(centers, dict) or not isinstance(stages, list) or not stages:
        raise StudyError(f"{path} has no [[stages]]; name the stage in which the centers are to train")
    return Addition(centers, stages, path.read_text(encoding="utf-8-sig"))


def extend(study: Study, text: str, addition: Addition) -> tuple[str, Study]:
    """The study file with an addition, and the study that it says.

    Args:
        study: as it is.
        text: its file's.
        addition: `read_addition`.

    Raises:
        StudyError: names every finding: a center or stage that is there already, settings that nobody agreed to, a
            stage in which a center has nothing to train on, or what no study file may say.
    """
    if there := sorted(addition.centers.keys() & study.centers.keys()):
        raise StudyError(
            f"study '{study.name}' has center(s) {there} already; leave out [centers.{there[0]}], and name the center "
            "in the stage alone"
        )
    table = tomllib.loads(text.removeprefix("\ufeff"))
    merged = {
        **table,
        "centers": {**table["centers"], **addition.centers},
        "stages": [*table["stages"], *addition.stages],
    }
    try:
        new = Study.model_validate(merged)
    except ValidationError as error:
        found = "\n  ".join(findings(error, "study"))
        raise StudyError(f"study '{study.name}' cannot be extended so:\n  {found}") from error
    if wrong := [*_settings_findings(study, new), *_stage_findings(study, new)]:
        raise StudyError(f"study '{study.name}' cannot be extended so:\n  " + "\n  ".join(wrong))
    return _joined(text, merged, addition), new


def added_stages(study: Study, new: Study) -> tuple[Stage, ...]:
    """The stages by which `new` is longer."""
    return new.stages[len(study.stages) :]


def _settings_findings(study: Study, new: Study) -> Iterator[str]:
    """What no center agreed to: settings are of the whole study, and travel with every message."""
    for stage in added_stages(study, new):
        if stage.task not in study.tasks:
            yield (
                f"stage '{stage.name}' trains for {stage.task}, and the study for {list(study.tasks)}: its tensors "
                "were made for these. A study of its own can do it, `concilium study init`"
            )


def _stage_findings(study: Study, new: Study) -> Iterator[str]:
    """Each center of an added stage must offer what the stage trains on."""
    for stage in added_stages(study, new):
        wanted = [name for name, share in new.shares_of(stage).items() if share]
        for center in stage.centers:
            offered = set(new.centers[center].modalities)
            if not any(parts_of(name) <= offered for name in wanted):
                yield (
                    f"center '{center}' offers {sorted(offered)}, and stage '{stage.name}' trains on {wanted}; give "
                    "the stage other modality_shares, or leave the center out"
                )
            elif not any(NEEDS.get(group, frozenset()) <= offered for group in stage.trained):
                yield (
                    f"center '{center}' offers {sorted(offered)}, and stage '{stage.name}' trains "
                    f"{list(stage.trained)}, none of which it can; give the stage other groups, or leave the center out"
                )


def _joined(text: str, merged: Mapping[str, Any], addition: Addition) -> str:
    """One file after the other, comments and all; written anew where tables within lines keep that from being TOML."""
    joined = f"{text.rstrip()}\n\n{addition.text.strip()}\n"
    try:
        if tomllib.loads(joined.removeprefix("\ufeff")) == merged:
            return joined
    except tomllib.TOMLDecodeError:
        pass
    return tomli_w.dumps(merged)
