from dataclasses import replace
from pathlib import Path

import pytest
import torch

from client.audit.target import shadow_training, target_of
from client.home.own_privacy import OwnPrivacy
from fusion_models.adapters.keys import parameters_by_key
from protocol.errors import ModelError
from protocol.messages.privacy import Privacy
from protocol.messages.settings import ROLES
from protocol.messages.tensors import role_of
from tests.support.audited_center import STAGE, target
from tests.support.small_bank import write_bank


def test_a_shadow_takes_all_steps_at_once_and_needs_no_federation() -> None:
    alone = STAGE.model_copy(update={"roles": ("lora_b",), "terms": {"gram_anchor": 1.0}})
    found = shadow_training(alone, 30)
    assert (found.local_steps, found.roles, found.terms) == (30, ROLES, {})
    assert (found.learning_rate, found.groups) == (STAGE.learning_rate, STAGE.groups)


def test_the_first_version_has_no_parent_and_its_shadows_begin_as_the_identity(tmp_path: Path) -> None:
    found = target(tmp_path)
    assert not found.start
    factors = [value for key, value in parameters_by_key(found.begin()).items() if role_of(key) == "lora_b"]
    assert factors
    assert not torch.stack([value.abs().max() for value in factors]).any()


def test_a_later_version_begins_with_its_parent(tmp_path: Path) -> None:
    bank = write_bank(tmp_path)
    first = bank.head("shared")
    tensors = {key: array + 1 if role_of(key) == "lora_b" else array for key, array in bank.tensors(first).items()}
    whose = {"center": "", "stage": "arrive", "server_round": 2, "backbone": first.backbone, "support": {}}
    bank.add("shared", tensors, parent=first.reference, **whose)  # type: ignore[arg-type]
    found = target_of(bank, "shared", None, "segmentation", STAGE, device="cpu")
    assert found.entry.version == 2
    assert found.start.keys() == bank.tensors(first).keys()


def test_a_stage_that_trains_the_backbone_has_no_adapter_to_audit(tmp_path: Path) -> None:
    training = STAGE.model_copy(update={"groups": ("backbone",)})
    with pytest.raises(ModelError, match="trains the whole network"):
        target_of(write_bank(tmp_path), "shared", None, "segmentation", training, device="cpu")


@pytest.mark.parametrize(
    ("own", "epsilon"),
    [
        (None, 8.0),
        (OwnPrivacy(epsilon=3.0, delta=1e-4, weaker="tighten"), 3.0),
        (OwnPrivacy(epsilon=9.0, delta=1e-4, weaker="tighten"), 8.0),
        (OwnPrivacy(epsilon=3.0, delta=1e-4), 8.0),
    ],
)
def test_shadows_train_with_the_numbers_that_the_center_trained_with(
    own: OwnPrivacy | None, epsilon: float, tmp_path: Path
) -> None:
    """Not with stricter ones that it holds to and would have refused the study for."""
    found = target(tmp_path)
    asked = found.network.settings.model_copy(update={"privacy": Privacy(epsilon=8.0, delta=1e-4, clip_norm=1.0)})
    held = replace(found, network=replace(found.network, settings=asked)).held_to(own, "center-a")
    assert held.network.settings.privacy is not None
    assert held.network.settings.privacy.epsilon == epsilon


def test_a_study_without_a_guarantee_has_shadows_without_one(tmp_path: Path) -> None:
    own = OwnPrivacy(epsilon=3.0, delta=1e-4, weaker="tighten")
    assert target(tmp_path).held_to(own, "center-a").network.settings.privacy is None
