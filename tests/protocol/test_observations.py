"""What a center may observe is expected at the sizes it chose, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest

from protocol.messages.payload import Payload
from protocol.observations import observation_specs
from tests.support.payloads import GOOD, SPECS, findings_of


def observation(shapes: dict[str, tuple[int, ...]], **support: int) -> Payload:
    tensors = {key: np.ones(shape, np.float32) for key, shape in shapes.items()}
    counts = {name.replace("_", "."): cases for name, cases in support.items()}
    return replace(GOOD, tensors=tensors, support=counts, phase="")


def observation_findings(payload: Payload) -> list[str]:
    return findings_of(payload, specs=observation_specs(payload, SPECS, sketch_rank=4), phase="")


def test_observations_are_accepted_at_the_sizes_they_chose() -> None:
    shapes: dict[str, tuple[int, ...]] = {"qkv@gram": (4, 3), "qkv#lora_b@fisher": (3, 2)}
    shapes |= {"features.ct@mean": (5,), "features.ct@scatter": (5, 5)}
    assert observation_findings(observation(shapes, gram=12, fisher=12, features_ct=12)) == []


@pytest.mark.parametrize(
    ("payload", "finding"),
    [
        (observation({"qkv@gram": (5, 3)}, gram=12), "tensor 'qkv@gram' has shape (5, 3), expected (4, 3)"),
        (
            observation({"features.ct@mean": (5,)}, features_ct=12),
            "tensor 'features.ct@scatter' is missing, expected all 2 tensors of group 'features.ct' or none",
        ),
        (
            observation({"features.ct@mean": (5,), "features.ct@scatter": (6, 6)}, features_ct=12),
            "tensor 'features.ct@scatter' has shape (6, 6), expected (5, 5)",
        ),
        (observation({"qkv@gram": (4, 3)}, gram=13), "support of group 'gram' is 13, expected 0 to 12 registered"),
        (observation({"qkv@gram": (4, 3)}), "support of group 'gram' is missing"),
        (observation({"qkv#lora_b": (3, 2)}), "tensor 'qkv#lora_b' is a frozen factor in this round"),
        (observation({"qkv#lora_b@own": (3, 2)}), "tensor 'qkv#lora_b@own' is unknown"),
    ],
)
def test_observations_not_as_agreed_are_findings(payload: Payload, finding: str) -> None:
    assert any(found.startswith(finding) for found in observation_findings(payload))


def test_a_negative_fisher_diagonal_is_a_finding() -> None:
    payload = observation({"qkv#lora_b@fisher": (3, 2)}, fisher=12)
    payload.tensors["qkv#lora_b@fisher"][0, 0] = -1
    assert observation_findings(payload) == ["tensor 'qkv#lora_b@fisher' has 1 negative value(s) of 6, expected none"]


def test_features_are_no_more_than_a_network_gives() -> None:
    """1,029 numbers; of more the scatter is refused by its shape, before anybody takes its eigenvalues."""
    shapes: dict[str, tuple[int, ...]] = {"features.ct@mean": (1030,), "features.ct@scatter": (1030, 1030)}
    assert observation_findings(observation(shapes, features_ct=12)) == [
        "tensor 'features.ct@mean' has shape (1030,), expected (1029,)",
        "tensor 'features.ct@scatter' has shape (1030, 1030), expected (1029, 1029)",
    ]
