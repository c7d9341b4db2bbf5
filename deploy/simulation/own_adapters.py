"""Beside a study whose centers also trained alone: who does better by itself is served its own from then on.

Each center scores both on its validation cases, never on test cases, under the rule of
`strategies.continual.own_adapter`. What it prefers is in use under its name in the study's bank; what was decided
stands in `service.json`, so that a repetition scores nothing again and a rollback by hand stands. No message does this
between machines: the figures are of centers that are simulated here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from client.data.preprocessing import PreparedCase
from client.data.split_file import fixed_parts
from client.learning.assembly import row_of
from client.learning.cancellation import never_cancelled
from client.scores.scoring import Network
from client.scores.side_by_side import SideBySide, score_side_by_side
from client.service.cases import Cases
from client.tasks.building import build_task
from deploy.simulation.local import center_home, folders_of
from protocol.messages.settings import Gate
from protocol.messages.tensors import BACKBONE, Tensors, content_hash, is_statistic
from protocol.tasks import TaskName
from server.results.service import OnTest, OnValidation, Service, read_services, write_services
from server.rounds.instructions import InstructionBuilder
from server.rounds.outputs import add_services
from server.rounds.transitions import without_backbone
from server.study import checkpoint as checkpoints
from server.study.audit_log import AuditLog
from server.study.directory import StudyDirectory, read_prepared
from server.study.file import Study
from server.study.lock import hold_study
from server.study.stage import Stage
from strategies.bank.bank import SHARED, AdapterBank
from strategies.bank.trained_alone import adopt, entry_in_use
from strategies.continual.own_adapter import Choice, choose


def serve_better(
    directory: StudyDirectory, alone: StudyDirectory, data: Path, tests: Mapping[str, OnTest | None], *, device: str
) -> tuple[Service, ...]:
    """Put into use what serves each center better, and write what was decided into the outputs of the study.

    Args:
        directory: of the federated study, which is done.
        alone: of the study in which its centers trained alone.
        data: folder with the centers' folders.
        tests: every center that is judged, with what its test cases say, which decides nothing.
        device: where networks run.

    Raises:
        CaseError: a center's data cannot be used any more.
        BankError: a bank is damaged, or the two stand on different backbones.
        StorageError: the disk refuses.
    """
    with hold_study(directory.lock):
        both = read_both(directory, alone, device)
        known = {service.center: service for service in read_services(directory.service)}
        for center, on_test in tests.items():
            found = known.get(center)
            if found is None or (found.federated_sha256, found.alone_sha256) != both.hashes(center):
                found = _decide(both, center, data)
            known[center] = _in_use(replace(found, test=on_test), both.bank)
            write_services(directory.service, tuple(known.values()))
        services = tuple(known[center] for center in tests)
        add_services(directory, both.bank, services)
    return services


def adapting_stages(study: Study, center: str) -> list[Stage]:
    """The stages in which a center trains adapters and pathways."""
    return [stage for stage in study.stages if center in stage.centers and BACKBONE not in stage.trained]


@dataclass(frozen=True)
class Both:
    """A study that is done, and that of its centers alone.

    federated: center -> adapter and pathway tensors that it is served after the last stage. own: those that it trained
    alone, of the centers that did. backbone, backbone_hash: what all stand on.
    """

    directory: StudyDirectory
    alone: StudyDirectory
    study: Study
    bank: AdapterBank
    alone_bank: AdapterBank
    backbone: Tensors
    backbone_hash: str
    federated: Mapping[str, Tensors]
    own: Mapping[str, Tensors]
    device: str

    def hashes(self, center: str) -> tuple[str, str]:
        """Content hashes of what federation serves the center, and of what it trained alone, "" where it did not."""
        own = self.own.get(center)
        return content_hash(self.federated[center]), "" if own is None else content_hash(own)

    def network(self, center: str, tensors: Tensors) -> Network:
        """A network of the center, at its rank."""
        settings = self.study.settings_for(center)
        return Network(settings, row_of(settings), self.backbone, self.backbone_hash, tensors, self.device)


def read_both(directory: StudyDirectory, alone: StudyDirectory, device: str) -> Both:
    """Read a study that is done and that of its centers alone.

    Raises:
        StudyError: a directory holds no study.
        BankError: a bank is damaged.
        StorageError: the checkpoint is damaged.
    """
    prepared, state = read_prepared(directory.root), checkpoints.load(directory.checkpoint)
    bank, alone_bank = AdapterBank(directory.bank, AuditLog(directory.audit).record), AdapterBank(alone.bank)
    backbone_hash = bank.head(SHARED).backbone
    backbone, study = bank.backbone(backbone_hash), prepared.study
    builder = InstructionBuilder(prepared, study.stages[-1], backbone)
    served = {} if state is None else {center: builder.to_serve(state, center) for center in study.centers}
    return Both(
        directory=directory,
        alone=alone,
        study=study,
        bank=bank,
        alone_bank=alone_bank,
        backbone=backbone,
        backbone_hash=backbone_hash,
        federated={center: _loaded(tensors, prepared.groups) for center, tensors in served.items()},
        own={name: alone_bank.tensors(alone_bank.head(name)) for name in alone_bank.names() if name != SHARED},
        device=device,
    )


def validation_cases(both: Both, center: str, data: Path) -> list[PreparedCase]:
    """The center's cases that trained it neither here nor alone: validation cases of both studies."""
    study, entry, home = both.study, both.study.centers[center], center_home(both.directory.root, center)
    settings = study.settings_for(center)
    cases = Cases(center, folders_of(study, data, center), entry.modalities, home, entry.rows)
    parts_alone = fixed_parts(cases.manifest(settings), settings, center_home(both.alone.root, center))
    found = cases.part(settings, "validation", never_cancelled)
    return [case for case in found if parts_alone.get(case.name) == "validation"]


def _loaded(tensors: Tensors, groups: Mapping[str, str]) -> Tensors:
    """What lies on the backbone, without statistics."""
    return {key: array for key, array in without_backbone(tensors, groups).items() if not is_statistic(key)}


def _decide(both: Both, center: str, data: Path) -> Service:
    """Score, decide, and put what is better into use."""
    study = both.study
    sides = _score(both, center, data) if center in both.own else {}
    comparisons = {task: side.comparison for task, side in sides.items()}
    choice = choose(comparisons, Gate() if study.strategy.gate is False else study.strategy.gate)
    if choice.own:
        adopt(both.bank, center, both.alone_bank)
    federated_sha256, alone_sha256 = both.hashes(center)
    return Service(
        center=center,
        better_alone=choice.own,
        own=choice.own,
        adapter=entry_in_use(both.bank, center).reference,
        reason=choice.reason,
        validation=tuple(_on_validation(task, side, choice) for task, side in sides.items()),
        test=None,
        federated_sha256=federated_sha256,
        alone_sha256=alone_sha256,
    )


def _score(both: Both, center: str, data: Path) -> dict[TaskName, SideBySide]:
    """Both on the center's validation cases, in each task that its stages trained for."""
    federated, own = (both.network(center, tensors[center]) for tensors in (both.federated, both.own))
    cases, settings = validation_cases(both, center, data), both.study.settings_for(center)
    rng = np.random.default_rng([both.study.seed, *center.encode()])
    return {
        task: score_side_by_side(federated, own, build_task(task, settings), cases, rng)
        for task in dict.fromkeys(stage.task for stage in adapting_stages(both.study, center))
    }


def _on_validation(task: TaskName, side: SideBySide, choice: Choice) -> OnValidation:
    found = side.comparison
    return OnValidation(
        task, found.cases, side.first, side.second, found.difference, found.standard_error, choice.bounds[task]
    )


def _in_use(service: Service, bank: AdapterBank) -> Service:
    """The service with what is in use now."""
    entry = entry_in_use(bank, service.center)
    own = service.better_alone and entry.sha256 == service.alone_sha256
    return replace(service, own=own, adapter=entry.reference)
