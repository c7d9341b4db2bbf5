"""What names a phase, and what a round must leave alone."""

import numpy as np
import pytest

from protocol.messages.payload import frozen_hash, phase_of
from protocol.messages.tensors import Tensors, content_hash

RECEIVED: Tensors = {key: np.ones(2, np.float32) for key in ("m#lora_a", "m#lora_b", "m#magnitude", "m@gram")}


def test_a_phase_is_named_by_its_roles_in_order() -> None:
    assert (phase_of(["lora_b", "lora_a"]), phase_of([])) == ("lora_a+lora_b", "")


def test_what_must_stand_still_is_all_but_what_trains_magnitudes_and_statistics() -> None:
    assert frozen_hash(RECEIVED, RECEIVED, ["m#lora_b"]) == content_hash({"m#lora_a": np.ones(2, np.float32)})


@pytest.mark.parametrize(("key", "noticed"), [("m#lora_a", True), ("m#lora_b", False), ("m#magnitude", False)])
def test_a_factor_that_moved_unasked_shows(key: str, noticed: bool) -> None:
    now = {**RECEIVED, key: np.zeros(2, np.float32)}
    assert (frozen_hash(RECEIVED, now, ["m#lora_b"]) != frozen_hash(RECEIVED, RECEIVED, ["m#lora_b"])) is noticed
