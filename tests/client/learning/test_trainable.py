"""What a round may move: groups, and of the shared adapter roles."""

import pytest

from client.learning.trainable import require_live, train_only
from protocol.errors import ModelError
from protocol.messages.instruction import Instruction
from protocol.messages.settings import ROLES, Model, StudySettings
from protocol.messages.tensors import ROLE_GROUPS, group_of
from tests.support.small_training import stage
from tests.support.three_adapters import net, tensors_of


@pytest.mark.parametrize(
    ("groups", "roles", "live"),
    [
        (("peft",), ("lora_b", "magnitude"), {"#lora_b", "#magnitude"}),
        (("peft",), ("lora_a",), {"#lora_a"}),
        (("peft",), ROLES, {"#lora_a", "#lora_b", "#magnitude"}),
        (("center",), (), {"#center_a", "#center_b"}),
        (("peft", "center"), ("lora_a",), {"#lora_a", "#center_a", "#center_b"}),
    ],
)
def test_a_phase_trains_its_roles_and_never_the_residual(
    groups: tuple[str, ...], roles: tuple[str, ...], live: set[str]
) -> None:
    model, x = net("linear", "dora")
    trained = train_only(model, groups, {}, roles)
    assert {key.removeprefix("proj") for key in trained} == live
    model(x).square().sum().backward()
    assert {key for key, p in tensors_of(model).items() if p.grad is not None and p.grad.any()} == live


def test_a_role_s_group_goes_before_the_pathway_that_the_module_lies_in() -> None:
    pathways = {"pet": ("pet_embedding",)}
    assert {role: group_of(f"pet_embedding.proj#{role}", pathways) for role in ROLE_GROUPS} == ROLE_GROUPS
    assert set(ROLES) == {role for role, group in ROLE_GROUPS.items() if group == "peft"}
    assert [group_of(key, pathways) for key in ("pet_embedding.weight", "pet_embeddings.weight")] == ["pet", "backbone"]


def test_a_round_in_which_nothing_trains_is_refused_by_name() -> None:
    asked = Instruction("train", StudySettings(study="s", seed=0, model=Model(name="m")), "adapt", training=stage())
    with pytest.raises(ModelError, match=r"center 'x' has nothing to train in stage 'adapt': .* \['peft'\] of model"):
        require_live({}, asked, "x")
