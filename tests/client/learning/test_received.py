"""Tensors that come to a center are the study's, in its shapes, or the instruction is refused."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from client.learning.assembly import study_specs
from client.learning.received import check_received
from protocol.errors import OtherStudyError
from protocol.local_steps import is_gate
from protocol.messages.instruction import Instruction
from protocol.messages.tensors import TensorSpec
from server.study.file import Study, read_study
from tests.support.one_center import asked
from tests.support.small_study import write_study


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return read_study(write_study(tmp_path_factory.mktemp("study") / "study.toml"))


@pytest.fixture(scope="module")
def specs(study: Study) -> tuple[TensorSpec, ...]:
    return study_specs(study.settings.model_dump_json())


def refused(instruction: Instruction, specs: tuple[TensorSpec, ...]) -> str:
    with pytest.raises(OtherStudyError, match="brings what is not the study's") as caught:
        check_received(instruction, "center-d", specs)
    return str(caught.value)


def adapted(specs: tuple[TensorSpec, ...]) -> str:
    """An adapted projection."""
    return next(spec.key.removesuffix("#lora_a") for spec in specs if spec.key.endswith("attn.qkv#lora_a"))


def test_the_state_of_a_study_is_its_own(study: Study, specs: tuple[TensorSpec, ...]) -> None:
    for kind in ("train", "compare"):
        check_received(asked(study, kind), "center-d", specs)


def test_another_key_shape_or_type_is_named(study: Study, specs: tuple[TensorSpec, ...]) -> None:
    instruction, (key, *_) = asked(study), sorted(asked(study).tensors)
    changed: list[tuple[dict[str, Any], str]] = [
        (
            {"backdoor.weight": np.zeros(3, np.float32)},
            "tensors 'backdoor.weight' has shape (3,), which the study does",
        ),
        ({key: np.zeros((99, 1), np.float32)}, f"tensors '{key}' has shape (99, 1), expected"),
        ({key: instruction.tensors[key].astype(np.float64)}, "is float64, expected float32"),
    ]
    for other, named in changed:
        assert named in refused(replace(instruction, tensors={**instruction.tensors, **other}), specs)


def test_reference_and_backbone_are_held_to_the_same(study: Study, specs: tuple[TensorSpec, ...]) -> None:
    instruction, extra = asked(study), {"backdoor": np.zeros(3, np.float32)}
    assert "reference 'backdoor'" in refused(replace(instruction, reference=extra), specs)
    assert "backbone 'backdoor' has shape (3,), expected None" in refused(
        replace(instruction, backbone={**instruction.backbone, **extra}), specs
    )
    short = dict(list(instruction.backbone.items())[1:])
    assert "has shape None, expected" in refused(replace(instruction, backbone=short), specs)


def test_a_statistic_needs_a_term_that_remembers_it(study: Study, specs: tuple[TensorSpec, ...]) -> None:
    module, shapes = adapted(specs), {spec.key: spec.shape for spec in specs}
    gram = {f"{module}@gram": np.zeros((3, *shapes[f"{module}#lora_a"][1:]), np.float32)}
    plain = asked(study)
    assert plain.training is not None
    anchored = replace(plain, training=plain.training.model_copy(update={"terms": {"gram_anchor": 1.0}}), tensors=gram)
    mass = {f"{module}@gram-mass": np.ones(1, np.float32)}
    check_received(replace(anchored, tensors=gram | mass), "center-d", specs)
    assert "is no statistic" in refused(replace(plain, tensors=gram), specs)
    assert "is no statistic" in refused(replace(anchored, tensors={"other@gram-mass": np.ones(1, np.float32)}), specs)
    tall = {key: np.zeros((33, array.shape[1]), np.float32) for key, array in gram.items()}
    assert "is no statistic" in refused(replace(anchored, tensors=tall), specs)


@pytest.mark.parametrize(("term", "about"), [("gram_anchor", "{}@gram-mass"), ("ewc", "{}#lora_b@fisher-mass")])
def test_how_many_stages_a_memory_holds_is_one_number(
    study: Study, specs: tuple[TensorSpec, ...], term: str, about: str
) -> None:
    plain, key = asked(study), about.format(adapted(specs))
    assert plain.training is not None
    training = plain.training.model_copy(update={"terms": {term: 1.0}})
    check_received(replace(plain, training=training, tensors={key: np.ones(1, np.float32)}), "center-d", specs)
    wide = replace(plain, training=training, tensors={key: np.ones(2, np.float32)})
    assert "is no statistic" in refused(wide, specs)
    elsewhere = replace(plain, training=training, tensors={f"no.module{key[key.index('@') :]}": np.ones(1, np.float32)})
    assert "is no statistic" in refused(elsewhere, specs)


def test_a_residual_has_a_rank_of_its_own_within_its_modules_sides(study: Study, specs: tuple[TensorSpec, ...]) -> None:
    module, shapes = adapted(specs), {spec.key: spec.shape for spec in specs}
    inputs, outputs = shapes[f"{module}#lora_a"][1], shapes[f"{module}#lora_b"][0]
    for rank, is_taken in ((3, True), (inputs + outputs + 1, False)):
        tensors = {
            f"{module}#residual_a": np.zeros((rank, inputs), np.float32),
            f"{module}#residual_b": np.zeros((outputs, rank), np.float32),
        }
        instruction = replace(asked(study), tensors=tensors)
        if is_taken:
            check_received(instruction, "center-d", specs)
        else:
            refused(instruction, specs)


def test_a_pathway_without_gates_is_one_of_an_earlier_default(study: Study, specs: tuple[TensorSpec, ...]) -> None:
    """Taken for an identity it would be added to CT's; a study that names its start, or opens the gates, means it."""
    instruction = asked(study)
    gates = {spec.key for spec in specs if is_gate(spec.key)}
    whole = {spec.key: np.zeros(spec.shape, np.float32) for spec in specs if spec.group in {"pet", "fusion"}}
    without = replace(instruction, tensors={key: array for key, array in whole.items() if key not in gates})
    assert gates
    assert (
        "gates ('attention_gates.0.gate'): the settings leave its start open, which meant `pathway = \"pub"
        in refused(without, specs)
    )
    check_received(replace(instruction, tensors=whole), "center-d", specs)
    for options in ({"pathway": "identity"}, {"gate": 0.5}):
        model = instruction.settings.model.model_copy(update={"options": options})
        settings = instruction.settings.model_copy(update={"model": model})
        check_received(replace(without, settings=settings), "center-d", specs)
