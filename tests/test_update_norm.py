"""How far a payload moved is held against what the study's payloads usually do."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from strategies.admission import admit, norm_findings, update_norm
from strategies.errors import NormError, PayloadError
from strategies.payload import Payload
from strategies.tensors import PEFT, PET, TensorSpec

START = {"qkv#lora_a": np.ones((2, 3), np.float32), "pet_embedding.weight": np.ones(4, np.float32)}
MOVED = Payload(
    center="hgj",
    backbone_hash="abc",
    stage="adapt",
    server_round=3,
    tensors={**START, "pet_embedding.weight": np.array([4, 1, 1, 5], np.float32)},
    support={PEFT: 12, PET: 8},
    phase="lora_a",
)


def test_the_norm_of_an_update_is_that_of_all_its_tensors_together() -> None:
    """3 and 4 in one tensor: 5. With 12 in another: 13. Statistics and what was not sent do not count."""
    assert update_norm(MOVED, START) == 5
    further = {**MOVED.tensors, "qkv#lora_a": START["qkv#lora_a"].copy()}
    further["qkv#lora_a"][0, 0] += 12
    assert update_norm(replace(MOVED, tensors=further), START) == 13
    more = {**MOVED.tensors, "qkv#magnitude": np.full(3, 99, np.float32), "a@gram": np.full((1, 2), 99, np.float32)}
    assert update_norm(replace(MOVED, tensors=more), {**START, "a@gram": np.zeros((1, 2), np.float32)}) == 5


@pytest.mark.parametrize(
    ("median", "norm_limit", "refused", "noted"),
    [
        (None, 5.0, False, False),
        (0.0, 5.0, False, False),
        (4.0, 5.0, False, False),
        (3.0, 5.0, False, True),
        (1.0, 5.0, False, True),
        (0.99, 5.0, True, False),
        (0.99, None, False, True),
    ],
)
def test_norms_are_held_against_the_median(
    median: float | None, norm_limit: float | None, refused: bool, noted: bool
) -> None:
    """The norm is 5: up to 1.5 medians is usual, above 5 is refused; 5 medians exactly is not."""
    findings = norm_findings(5, median, norm_limit)
    assert (bool(findings.refused), bool(findings.noted)) == (refused, noted)


def admitted(payload: Payload, **norm: Any) -> None:
    specs = [TensorSpec("qkv#lora_a", PEFT, (2, 3)), TensorSpec("pet_embedding.weight", PET, (4,))]
    admit(
        payload,
        specs=specs,
        backbone_hash="abc",
        stage="adapt",
        server_round=3,
        phase="lora_a",
        frozen_hash="",
        registered_cases=12,
        start=START,
        **norm,
    )


def test_a_payload_that_moved_too_far_is_refused_by_name() -> None:
    expected = r"center 'hgj': update has norm 5, 10 times the study's median 0.5, expected at most 5 times"
    with pytest.raises(NormError, match=expected):
        admitted(MOVED, median=0.5)
    admitted(MOVED, median=0.5, norm_limit=11)
    admitted(MOVED, median=0.5, norm_limit=None)


def test_a_payload_that_moved_further_than_usual_is_admitted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    admitted(MOVED, median=2.0)
    assert "center 'hgj': update has norm 5, 2.5 times the study's median 2, usual is up to 1.5 times" in caplog.text


def test_an_unsound_payload_has_no_norm() -> None:
    """A tensor of another shape cannot be compared with its start; its shape is the finding."""
    wrong = replace(MOVED, tensors={**START, "pet_embedding.weight": np.ones(5, np.float32)})
    with pytest.raises(PayloadError, match=r"1 finding\(s\)"):
        admitted(wrong, median=0.001)
