"""What each center is told in a stage, from the state of the study."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from protocol.messages.recipe import Recipe
from protocol.messages.tensors import PET, TensorSpec
from server.study.history import History, RoundRecord
from tests.support.entered_study import enter
from tests.support.light_study import STUDY


def test_training_goes_out_with_the_shared_adapter_and_the_hash_of_the_frozen_backbone(tmp_path: Path) -> None:
    entered = enter(tmp_path)
    training = entered.prepared.study.training_in(entered.builder.stage, 0)
    told = entered.builder.training(entered.state, "a", training, 1)
    assert (told.kind, told.stage, told.server_round, told.training) == ("train", "adapt", 1, training)
    assert sorted(told.tensors) == ["qkv#lora_a", "qkv#lora_b"]
    assert told.backbone_hash == entered.state.backbone_hash != ""


def test_a_recipe_that_keeps_moments_is_told_from_which_round_they_are(tmp_path: Path) -> None:
    entered = enter(tmp_path)
    history = History(rounds=(RoundRecord("adapt", 1, "a"), RoundRecord("adapt", 1, "b", error="no-answer")))
    state, fresh = replace(entered.state, history=history), entered.prepared.study.training_in(entered.builder.stage, 1)
    kept = fresh.model_copy(update={"recipe": Recipe(optimiser="kept")})
    told = {name: entered.builder.training(state, name, kept, 2).continues for name in "ab"}
    assert told == {"a": 1, "b": 0}
    assert entered.builder.training(state, "a", fresh, 2).continues == 0


def test_every_instruction_says_what_its_stage_trains_for(tmp_path: Path) -> None:
    labels = 'task = "classification"\n[labels.classes]\ncolumn = "metastasis"\n'
    entered = enter(tmp_path, STUDY.replace("[model]", labels + "[model]"))
    training = entered.prepared.study.training_in(entered.builder.stage, 0)
    told = [
        entered.builder.training(entered.state, "a", training, 1),
        entered.builder.comparison(entered.state, "a"),
        entered.builder.observation(entered.state, "a", ("fisher",)),
    ]
    assert [instruction.task for instruction in told] == ["classification"] * 3


def test_scoring_is_named_by_its_row(tmp_path: Path) -> None:
    entered = enter(tmp_path)
    told = entered.builder.scoring(entered.state, "a", "initial")
    assert (told.kind, told.stage, told.server_round) == ("evaluate", "initial", 0)


def test_a_center_with_a_branch_is_served_it_and_compares_the_candidate_with_it(tmp_path: Path) -> None:
    entered = enter(tmp_path)
    branch = {key: array + np.float32(1) for key, array in entered.state.shared.items()}
    state = replace(entered.state, branches={"b": branch})
    compared = entered.builder.comparison(state, "b")
    for key, array in branch.items():
        assert np.array_equal(entered.builder.to_serve(state, "b")[key], array)
        assert np.array_equal(compared.reference[key], array)
        assert np.array_equal(compared.tensors[key], entered.state.shared[key])


def test_updates_are_collected_under_the_round_to_come(tmp_path: Path) -> None:
    entered = enter(tmp_path)
    told = entered.builder.collection(replace(entered.state, server_round=4), "a")
    assert (told.kind, told.server_round, told.tensors) == ("collect", 5, {})


def test_a_center_may_send_what_is_live_in_the_round_and_nothing_else(tmp_path: Path) -> None:
    """The default scheme trains B first."""
    entered = enter(tmp_path)
    training = entered.prepared.study.training_in(entered.builder.stage, 0)
    assert [spec.key for spec in entered.builder.specs_of(training, "a")] == ["qkv#lora_b"]


def test_a_center_without_a_modality_may_send_nothing_that_needs_it(tmp_path: Path) -> None:
    """A claim of cases with PET at a center that the study gives CT alone would be the only voice on PET tensors."""
    entered = enter(tmp_path, STUDY.replace("[centers.a]", '[centers.a]\nmodalities = ["ct"]'))
    specs = (*entered.prepared.specs, TensorSpec("pet.w", PET, (2,)))
    builder = replace(entered.builder, prepared=replace(entered.prepared, specs=specs))
    training = entered.prepared.study.training_in(entered.builder.stage, 0).model_copy(update={"groups": ("pet",)})
    assert [[spec.key for spec in builder.specs_of(training, center)] for center in "ab"] == [[], ["pet.w"]]


def test_a_center_of_its_own_rank_is_sent_the_adapter_at_that_rank(tmp_path: Path) -> None:
    text = STUDY.replace("[centers.b]", "[centers.b]\nrank = 1").replace(
        "gate = false", 'gate = false\naggregation = { scheme = "product-exact" }'
    )
    entered = enter(tmp_path, text)
    shapes = {key: array.shape for key, array in entered.builder.to_train(entered.state, "b").items()}
    assert (shapes["qkv#lora_a"], shapes["qkv#lora_b"]) == ((1, 4), (4, 1))
