"""The adapter that a center trains alone: where it starts, how far it goes, and that nothing of it leaves."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from client.learning.training import Trained, train_locally
from client.service.own_arm import FOLDER, Arm, OwnArm
from client.service.trainer import Trainer
from protocol.errors import ModelError
from protocol.messages.instruction import Instruction
from protocol.messages.reference import Reference
from protocol.messages.tensors import content_hash, role_of
from server.study.file import Study
from tests.support.start_state import Start

ALONE = {"reference": Reference(local_only=True)}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Who trained, in order."""
    made: list[str] = []
    for name, module in (("arm", "client.service.own_arm"), ("study", "client.service.work")):

        def counting(*args: Any, _name: str = name, **kwargs: Any) -> Trained:
            made.append(_name)
            return train_locally(*args, **kwargs)

        monkeypatch.setattr(f"{module}.train_locally", counting)
    return made


def asked(start: Start, number: int = 3, **changes: Any) -> Instruction:
    """A round of one step, without validation, of a study that asks for the reference."""
    found = replace(start.training(local_steps=1, validate_first=False, **changes), server_round=number)
    return replace(found, settings=found.settings.model_copy(update=ALONE))


def evaluated(start: Start, number: int = 3) -> Instruction:
    found = start.instruction("evaluate")
    return replace(found, server_round=number, settings=found.settings.model_copy(update=ALONE))


def arm_of(trainer: Trainer, study: Study) -> Arm:
    found = OwnArm(trainer.home, trainer.center, b"").read(study.settings.model_copy(update=ALONE))
    assert found is not None
    return found


def test_the_study_trains_what_it_trains_without_the_reference(
    cohort: Path, tmp_path: Path, start: Start, study: Study, calls: list[str]
) -> None:
    hashes = []
    for name, instruction in (("with", asked(start)), ("without", replace(asked(start), settings=study.settings))):
        reply = Trainer("center-d", [cohort / "center-d"], ("ct",), tmp_path / name).perform(instruction)
        assert reply.payload is not None
        hashes.append(content_hash(reply.payload.tensors))
    assert hashes[0] == hashes[1]
    assert calls == ["arm", "study", "study"]
    assert not (tmp_path / "without" / FOLDER).exists()


def test_it_starts_where_nobody_has_taught_anything_and_takes_as_many_steps(
    ct_only: Trainer, start: Start, study: Study
) -> None:
    """What comes has a B that others trained, of ones; the arm's began at zero, and a step at 1e-3 moves it little."""
    taught = {key: np.ones_like(array) if role_of(key) == "lora_b" else array for key, array in start.rest.items()}
    for number in (3, 4):
        assert ct_only.perform(replace(asked(start, number), tensors=taught)).error == ""
    arm = arm_of(ct_only, study)
    assert (arm.stage, arm.last_round, arm.steps, arm.ended) == ("adapt", 4, 2, "")
    moved = [np.abs(array).max() for key, array in arm.tensors.items() if role_of(key) == "lora_b"]
    assert 0 < max(moved) < 0.01


def test_a_round_that_is_asked_again_is_not_trained_again_and_one_that_was_broken_off_is(
    cohort: Path, tmp_path: Path, start: Start, study: Study, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ended within the study's own round: the arm's is behind. Ended before the arm is written: it begins anew."""

    def die(*_args: Any, **_kwargs: Any) -> None:
        raise KeyboardInterrupt

    def trainer() -> Trainer:
        return Trainer("center-d", [cohort / "center-d"], ("ct",), tmp_path / "killed")

    for place in ("client.service.own_arm.write_private", "client.service.work.arrays_to_send"):
        with monkeypatch.context() as patched:
            patched.setattr(place, die)
            with pytest.raises(KeyboardInterrupt):
                trainer().perform(asked(start))
    assert trainer().perform(asked(start)).error == ""
    assert calls == ["arm", "arm", "study", "study"]
    whole = Trainer("center-d", [cohort / "center-d"], ("ct",), tmp_path / "whole")
    whole.perform(asked(start))
    assert arm_of(whole, study).digest == arm_of(trainer(), study).digest


def test_a_stage_that_trains_the_backbone_has_no_arm(ct_only: Trainer, start: Start, calls: list[str]) -> None:
    found = asked(start, groups=("backbone",), roles=())
    ct_only.perform(replace(found, tensors={**start.rest, **start.backbone}))
    assert calls == ["study"]


def test_a_row_says_what_federation_brought_and_sends_no_tensor(ct_only: Trainer, start: Start) -> None:
    assert ct_only.perform(evaluated(start)).benefits == (), "before the arm's first round nothing is said"
    ct_only.perform(asked(start))
    reply = ct_only.perform(evaluated(start))
    assert reply.tensors == {}
    assert [(found.setting, found.against, found.cases) for found in reply.benefits] == [
        ("ct", "local-only", 1),
        ("ct", "ct-network", 1),
    ]
    ct_network = reply.benefits[1].comparison
    assert ct_network is not None
    assert ct_network.difference == 0, "a fresh adapter is the identity"
    assert ct_only.perform(evaluated(start, number=2)).benefits == (), "the arm is ahead of what is served"


def test_an_arm_that_came_apart_or_was_damaged_ends_and_the_study_goes_on(
    ct_only: Trainer, start: Start, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    def come_apart(*_args: Any, **_kwargs: Any) -> Trained:
        raise ModelError("the loss is no longer finite")

    with monkeypatch.context() as patched:
        patched.setattr("client.service.own_arm.train_locally", come_apart)
        assert ct_only.perform(asked(start)).error == ""
    assert arm_of(ct_only, study).ended == "the loss is no longer finite"
    (first, _) = ct_only.perform(evaluated(start)).benefits
    assert first.comparison is not None
    assert first.comparison.difference is None
    (path,) = (ct_only.home / FOLDER).glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:-1])
    assert arm_of(ct_only, study).ended == "its file is damaged"
