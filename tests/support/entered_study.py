"""The light study before its first round: prepared, its stage entered, its instructions ready to be built."""

from dataclasses import dataclass
from pathlib import Path

from server.rounds.instructions import InstructionBuilder
from server.rounds.study_run import FRESH
from server.rounds.transitions import enter_stage
from server.study.checkpoint import Checkpoint
from server.study.directory import Prepared, read_prepared
from strategies.bank.bank import AdapterBank
from tests.support.light_study import STUDY, Light, light


@dataclass(frozen=True)
class Entered:
    """A stage that has been entered."""

    found: Light
    prepared: Prepared
    bank: AdapterBank
    state: Checkpoint
    builder: InstructionBuilder


def enter(folder: Path, text: str = STUDY) -> Entered:
    found = light(folder, text)
    prepared = read_prepared(found.root)
    (stage,) = prepared.study.stages
    bank = AdapterBank.create(found.directory.bank, prepared.study.settings, prepared.adapter_config)
    state = enter_stage(FRESH, stage, prepared, bank)
    return Entered(
        found, prepared, bank, state, InstructionBuilder(prepared, stage, bank.backbone(state.backbone_hash))
    )
