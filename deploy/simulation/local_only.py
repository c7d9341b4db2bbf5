"""What federation brought: beside a study, every center trains alone from the same backbone, in as many steps.

Nothing is exchanged then, so there is nothing to gate, to anchor or to undo; model, data, split, recipe and the steps
that a center takes on adapters and pathways are the study's own. A center that its validation cases show to be better
off by itself is served its own (`deploy.simulation.own_adapters`); what is said of test cases decides nothing.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w
from rich.console import Console

from deploy.simulation.local import center_home, find_device, share_folder, simulate
from deploy.simulation.own_adapters import adapting_stages, serve_better
from protocol.errors import StudyError, WithdrawalError
from protocol.messages.secure_aggregation import sums_scores
from protocol.modalities import ModalitySetting
from protocol.storage.atomic_files import write_text
from protocol.tasks import TASKS
from reporting.formats import figure
from server.results.result import read_result
from server.results.service import OnTest, Service
from server.study.directory import StudyDirectory
from server.study.file import Study, read_study
from server.study.stage import Stage
from server.study.withdrawn import read_withdrawn
from server.tracking.replay import replay
from strategies.bank.bank import SHARED, AdapterBank

FOLDER = "alone"
ALONE: Mapping[str, Any] = {"aggregation": {"scheme": "local-only"}, "gate": False, "rollback": False}


@dataclass(frozen=True)
class Gain:
    """The primary metric of one center after the last stage, federated and alone, under its fullest modality setting.

    cases: test cases behind both. A value is None where it is undefined.
    """

    center: str
    setting: ModalitySetting
    cases: int
    federated: float | None
    alone: float | None

    @property
    def difference(self) -> float | None:
        """What federation brought; None where either is undefined."""
        return None if self.federated is None or self.alone is None else self.federated - self.alone


def simulate_alone(directory: StudyDirectory, data: Path, *, engine: str, device: str, console: Console) -> str:
    """Train the centers of a finished study alone, or go on with it, in `alone/` beside its results; what it showed.

    Who does better alone is served its own from then on; result, report and tracking of the study say so.

    Raises:
        StudyError: the study trained no adapters, or has no result yet.
        WithdrawalError: a center withdrew from it, which would train here.
    """
    _refuse_withdrawn(directory)
    study, federated = read_study(directory.study_file), read_result(directory.result)
    if (
        federated is None
        or federated["status"] != "complete"
        or not any(adapting_stages(study, name) for name in study.centers)
    ):
        raise StudyError(f"{directory.root} holds no finished study that trained adapters; finish it, then ask again")
    out, source = directory.root / FOLDER, directory.root / f"{FOLDER}.toml"
    write_text(source, tomli_w.dumps(alone(study)))
    for center in study.centers:
        share_folder(center_home(out, center) / "cache", center_home(directory.root, center) / "cache")
    console.print("now every center alone, in as many steps, from the same backbone")
    backbone = frozen_backbone(directory)
    simulate(source, data, out, engine=engine, device=device, resume=True, console=console, backbone=backbone)
    found = gains(federated, read_result(StudyDirectory(out).result) or {})
    tests = on_test(study, found)
    services = serve_better(directory, StudyDirectory(out), data, tests, device=find_device(device))
    replay(directory.root, None)
    return f"{tell(found, federated)} {tell_services(services)}"


def refuse_summed_scores(study_file: Path) -> None:
    """Refuse to hold training alone against a study whose centers' own scores nobody sees; before anything is trained.

    Raises:
        StudyError: its scores leave the centers as sums alone, or the file cannot be read.
    """
    if sums_scores(read_study(study_file).secure_aggregation):
        raise StudyError(
            f"study file {study_file} has secure_aggregation.scores = 'summed', and --against-local-only judges each "
            "center by its own scores; leave one of the two out"
        )


def _refuse_withdrawn(directory: StudyDirectory) -> None:
    """Refuse to train a center alone that withdrew from the study."""
    if gone := [found.center for found in read_withdrawn(directory)]:
        raise WithdrawalError(
            f"center(s) {gone} withdrew from the study in {directory.root} and would train here again, alone; leave "
            "--against-local-only out, or simulate the study anew from a file without them"
        )


def alone(study: Study) -> dict[str, Any]:
    """The study file, as a table, in which each center takes its steps on adapters and pathways alone."""
    table = study.model_dump(mode="json", exclude_none=True)
    stages = [stage for center in study.centers for stage in _alone(study, center)]
    return {**table, "name": f"{study.name} alone", "strategy": dict(ALONE), "stages": stages, "quorum": 1}


def frozen_backbone(directory: StudyDirectory) -> Path:
    """The backbone that a study's adapters stand on."""
    bank = AdapterBank(directory.bank)
    return bank.root / "backbones" / f"{bank.head(SHARED).backbone}.safetensors"


def gains(federated: Mapping[str, Any], alone: Mapping[str, Any]) -> list[Gain]:
    """Each center's last figures in two results of one study."""
    return [gain for center in alone["centers"] if (gain := _gain(center, federated, alone)) is not None]


def on_test(study: Study, found: Sequence[Gain]) -> dict[str, OnTest | None]:
    """The centers that are judged, those that are evaluated and trained adapters, with their figures on test cases."""
    by_center = {
        gain.center: OnTest(gain.setting, gain.cases, gain.federated, gain.alone, gain.difference) for gain in found
    }
    judged = [name for name, center in study.centers.items() if center.evaluated and adapting_stages(study, name)]
    return {name: by_center.get(name) for name in judged}


def tell_services(services: Sequence[Service]) -> str:
    """Who is served its own from now on, and for whom nothing could be decided."""
    own = [f"{service.center} ({service.reason.partition(': ')[2]})" for service in services if service.own]
    unknown = [service.center for service in services if not service.is_decided]
    said = f"Served its own from now on: {'; '.join(own)}." if own else "No center is served its own."
    return f"{said} Too few validation cases to decide: {', '.join(unknown)}." if unknown else said


def tell(found: list[Gain], result: Mapping[str, Any]) -> str:
    """What federation brought to each center, in one sentence."""
    metric = TASKS[result["tasks"][0]].main[0]
    said = "; ".join(
        f"{gain.center} {_difference(gain, metric.decimals)} with {gain.setting.upper()} "
        f"({figure(gain.federated, metric.decimals)} against {figure(gain.alone, metric.decimals)}, "
        f"{gain.cases} test case{'s' if gain.cases != 1 else ''})"
        for gain in found
    )
    return f"What federation brought, {metric.label} against training alone in as many steps: {said}."


def _alone(study: Study, center: str) -> Iterator[dict[str, Any]]:
    """A stage for each task that the center's adapter stages train for, in the order in which they come."""
    by_task: dict[str, list[Stage]] = {}
    for stage in adapting_stages(study, center):
        by_task.setdefault(stage.task, []).append(stage)
    for task, stages in by_task.items():
        yield _merge(stages, center, f"alone-{center}" if len(by_task) == 1 else f"alone-{center}-{task}")


def _merge(stages: Sequence[Stage], center: str, name: str) -> dict[str, Any]:
    """One stage of as many steps as all of these, in the longest rounds that divide each of them."""
    length = math.gcd(*(stage.local_steps for stage in stages))
    groups = dict.fromkeys(group for stage in stages for group in stage.trained)
    first = stages[0].model_dump(mode="json", exclude_none=True)
    return {
        **first,
        "name": name,
        "kind": "adapt",
        "centers": [center],
        "groups": list(groups),
        "local_steps": length,
        "rounds": sum(stage.rounds * stage.local_steps for stage in stages) // length,
        "warm_up_rounds": 0,
        "settle_rounds": 0,
        "validate_every": 0,
        "aggregation": "",
    }


def _gain(center: str, federated: Mapping[str, Any], alone: Mapping[str, Any]) -> Gain | None:
    """Under the fullest setting that the center's cases have; None where none was scored."""
    for setting in reversed(list(_settings(federated, center))):
        now, then = (_last(result, setting, center) for result in (federated, alone))
        if now is not None and then is not None:
            return Gain(center, setting, now[0], now[1], then[1])
    return None


def _settings(result: Mapping[str, Any], center: str) -> Iterator[ModalitySetting]:
    for setting, matrix in result["matrices"].items():
        if center in matrix["centers"]:
            yield setting


def _last(result: Mapping[str, Any], setting: str, center: str) -> tuple[int, float | None] | None:
    """Test cases and primary metric of a center in the last row; None where no case was scored."""
    matrix = result["matrices"].get(setting)
    if matrix is None or center not in matrix["centers"]:
        return None
    column, metric = matrix["centers"].index(center), TASKS[result["tasks"][0]].main[0]
    cases = matrix["cases"][-1][column]
    return (cases, matrix[metric.name][-1][column]) if cases else None


def _difference(gain: Gain, decimals: int) -> str:
    return "undefined" if gain.difference is None else f"{gain.difference:+.{decimals}f}"
