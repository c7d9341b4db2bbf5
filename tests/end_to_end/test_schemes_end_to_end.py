"""Every scheme through Flower: what a center loads next has the effective weights that the server's arithmetic says.

Two centers of the small study train two rounds; each instruction and payload is noted where the center performs.
Adapters sit on the attention alone, whose layers show their whole weight on the identity. LoRA is DoRA without the
magnitudes: every scheme runs with them, and without them those that promise more, the exact ones.
"""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from peft.tuners.lora import LoraLayer

from client.learning.assembly import assemble, row_of
from fusion_models.adapters.injection import adapter_layers
from protocol.messages.instruction import Instruction
from protocol.messages.reply import Reply
from protocol.messages.tensors import Tensors
from strategies.aggregation.contract import Base
from strategies.aggregation.linear_form import flat, linear_form, modules_of, scale_of
from strategies.aggregation.residual import residual_of
from strategies.aggregation.schemes import SCHEMES
from strategies.bank.bank import AdapterBank
from tests.support.effective_weight import effective
from tests.support.federation import federation
from tests.support.small_study import STUDY

Weights = dict[str, NDArray[np.float64]]
pytestmark = pytest.mark.usefixtures("no_report")
EXACT = ("alt-exact", "product-exact", "fedex-lora", "flora")
ALPHA, RANK = 4, 2


def study_text(scheme: str, method: str, strategy: str = "") -> str:
    """The small study's second stage alone, under another scheme; both centers weigh by their cases."""
    first, _, adapt, _ = STUDY.split("[[stages]]")
    head = f"{first}[[stages]]{adapt}"
    table = f'[strategy.aggregation]\nscheme = "{scheme}"\nweight_exponent = 1\n{strategy}\n[centers.center-a]'
    adapter = f'method = "{method}"\ntargets = ["attn.qkv", "attn.out_proj"]'
    text = head.replace("[centers.center-a]", table).replace('method = "dora"', adapter)
    return text.replace(
        "rounds = 2\nlocal_steps = 4\nlearning_rate = 1e-3", "rounds = 3\nlocal_steps = 4\nlearning_rate = 2e-2"
    )


def federate(folder: Path, data: Path, text: str) -> tuple[list[tuple[Instruction, Reply]], Tensors]:
    """Run a study in process; every adapter round with its replies, and the frozen backbone.

    The bank's version of each center is what that center was served in the end.
    """
    found = federation(folder, data, text)
    found.run()
    bank = AdapterBank(found.directory.bank)
    for center, served in {r.center: i.tensors for i, r in found.notes if i.kind == "evaluate"}.items():
        banked = bank.tensors(bank.head(center))
        assert banked.keys() == served.keys()
        assert all(np.array_equal(banked[key], served[key]) for key in served)
    notes = [(i, r) for i, r in found.notes if i.kind == "train" and i.stage == "adapt"]
    return notes, AdapterBank(found.directory.bank).backbone(notes[0][0].backbone_hash)


def unlike(notes: list[tuple[Instruction, Reply]]) -> list[Instruction]:
    """The instructions, each set of tensors once: most schemes send all centers of a round the same."""
    found: list[Instruction] = []
    for instruction, _ in notes:
        if not any(_same(instruction.tensors, other.tensors) for other in found):
            found.append(instruction)
    return found


def _same(tensors: Tensors, others: Tensors) -> bool:
    return tensors.keys() == others.keys() and all(np.array_equal(tensors[key], others[key]) for key in tensors)


def base_of(backbone: Tensors) -> Base:
    return Base(groups={}, frozen=backbone, alpha=ALPHA, rank=RANK)


def weights_in(tensors: Tensors, backbone: Tensors) -> Weights:
    """Dense effective weights by the project's NumPy arithmetic."""
    found: Weights = {}
    for module in modules_of(tensors):
        form, residual = linear_form(module, tensors, base_of(backbone)), residual_of(module, tensors)
        frozen = flat(backbone[f"{module}.weight"])
        found[module] = effective(frozen, form, scale_of(form.a, ALPHA), (residual.b, residual.a))
    return found


def weights_at_work(instruction: Instruction, backbone: Tensors) -> Weights:
    """Dense effective weights of the assembled network: each layer's own forward pass on the identity."""
    model = assemble(instruction.settings, row_of(instruction.settings), backbone, instruction.tensors).eval()
    return {name: _applied(layer) for name, layer in adapter_layers(model).items()}


def _applied(layer: LoraLayer) -> NDArray[np.float64]:
    columns = layer.get_base_layer().weight.shape[1]
    with torch.no_grad():
        eye = torch.eye(columns)
        bias = layer(torch.zeros(1, columns))
        return (layer(eye) - bias).T.double().numpy()


def distance(found: Weights, expected: Weights, backbone: Tensors) -> float:
    """Largest difference of any module, relative to the Frobenius norm of its frozen weight."""
    return max(
        float(np.linalg.norm(found[name] - expected[name]) / np.linalg.norm(backbone[f"{name}.weight"]))
        for name in expected
    )


def sent_weights(round_: int, notes: list[tuple[Instruction, Reply]], backbone: Tensors) -> Weights:
    """The support-weighted mean of the effective weights with which the centers ended a round."""
    total: Weights = {}
    weight_sum = 0.0
    for instruction, reply in notes:
        if instruction.server_round != round_ or reply.payload is None:
            continue
        weight = float(reply.payload.support["peft"])
        tensors: Tensors = {**instruction.tensors, **reply.payload.tensors}
        if "lora_b" not in reply.payload.phase:
            tensors = with_gain_of(instruction.tensors, tensors, backbone)
        for name, found in weights_in(tensors, backbone).items():
            total[name] = total.get(name, 0.0) + weight * found
        weight_sum += weight
    return {name: array / weight_sum for name, array in total.items()}


def with_gain_of(start: Tensors, tensors: Tensors, backbone: Tensors) -> Tensors:
    """In a phase that trains A alone the center keeps d: its magnitude is d times the new row norms."""
    found = dict(tensors)
    for module in modules_of(start):
        if f"{module}#magnitude" not in start:
            continue
        frozen, a = flat(backbone[f"{module}.weight"]), flat(tensors[f"{module}#lora_a"])
        gain = linear_form(module, start, base_of(backbone)).gain
        dense = frozen + ALPHA / RANK * flat(tensors[f"{module}#lora_b"]) @ a
        found[f"{module}#magnitude"] = (gain * np.linalg.norm(dense, axis=1)).astype(np.float32)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scheme", "method"), [*((name, "dora") for name in SCHEMES), *((name, "lora") for name in EXACT)]
)
def test_a_center_loads_the_effective_weights_the_server_computed(
    scheme: str, method: str, cohort: Path, tmp_path: Path
) -> None:
    notes, backbone = federate(tmp_path, cohort, study_text(scheme, method))
    rounds = sorted({instruction.server_round for instruction, _ in notes})
    assert len(rounds) == 3
    assert not any(reply.error for _, reply in notes)
    for instruction in unlike(notes):
        arithmetic = weights_in(instruction.tensors, backbone)
        assert distance(weights_at_work(instruction, backbone), arithmetic, backbone) < 1e-5
    if scheme in EXACT:
        for before, after in pairwise(rounds):
            expected = sent_weights(before, notes, backbone)
            loaded = next(i for i, _ in notes if i.server_round == after)
            assert distance(weights_at_work(loaded, backbone), expected, backbone) < 1e-5
            moved = distance(expected, weights_in(notes[0][0].tensors, backbone), backbone)
            assert moved > 1e-3, "the centers must have moved for this to say anything"


def test_factor_averages_are_not_the_average_of_the_weights(cohort: Path, tmp_path: Path) -> None:
    """The guard of the test above: FedIT misses the mean of the effective weights by far more than 1e-5."""
    notes, backbone = federate(tmp_path, cohort, study_text("fedit", "dora"))
    rounds = sorted({instruction.server_round for instruction, _ in notes})
    expected = sent_weights(rounds[1], notes, backbone)
    loaded = next(i for i, _ in notes if i.server_round == rounds[2])
    assert distance(weights_at_work(loaded, backbone), expected, backbone) > 1e-4
