"""How far a payload moved is held against what the study's payloads usually do."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from protocol.errors import NormError, PayloadError
from protocol.local_steps import Reach
from protocol.messages.payload import Payload
from protocol.messages.reply import Reply
from protocol.messages.suppression import Suppressed
from protocol.messages.tensors import PEFT, PET, TensorSpec
from protocol.validation import Expected, unusual, update_norms, validate
from server.grid.center_answer import CenterAnswer
from server.results.update_alarms import KINDS
from server.rounds.records import FEWER_CASES, as_asked, norm_medians, record_of
from server.study.history import RoundRecord
from server.study.stage import Stage
from tests.support.small_training import stage as training

SPECS = (TensorSpec("qkv#lora_a", PEFT, (2, 3)), TensorSpec("pet_embedding.weight", PET, (4,)))
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


def test_each_group_has_the_norm_of_all_its_tensors_together() -> None:
    """3 and 4 in the pathway: 5. 12 in A, 5 in B: 13. Statistics and what was not sent do not count."""
    assert update_norms(MOVED, START, SPECS) == {PEFT: 0, PET: 5}
    start = {**START, "qkv#lora_b": np.zeros((3, 2), np.float32)}
    further = {**MOVED.tensors, "qkv#lora_a": START["qkv#lora_a"].copy(), "qkv#lora_b": start["qkv#lora_b"].copy()}
    further["qkv#lora_a"][0, 0] += 12
    further["qkv#lora_b"][2, 1] += 5
    assert update_norms(replace(MOVED, tensors=further), start, SPECS) == {PEFT: 13, PET: 5}
    more = {**MOVED.tensors, "qkv#magnitude": np.full(3, 99, np.float32)}
    more |= {"qkv#lora_a@control": np.full((2, 3), 99, np.float32)}
    start = {**START, "qkv#lora_a@control": np.zeros((2, 3), np.float32)}
    assert update_norms(replace(MOVED, tensors=more), start, SPECS) == {PEFT: 0, PET: 5}
    assert update_norms(replace(MOVED, tensors={"qkv#lora_a": START["qkv#lora_a"]}), START, SPECS) == {PEFT: 0}


@pytest.mark.parametrize(("median", "noted"), [(None, False), (0.0, False), (4.0, False), (3.0, True), (0.01, True)])
def test_norms_are_held_against_the_median(median: float | None, noted: bool) -> None:
    """The norm is 5: up to 1.5 medians is usual."""
    assert bool(unusual(PET, 5, median)) == noted


def accept(payload: Payload, **norm: Any) -> None:
    expected = Expected(
        specs=SPECS,
        backbone_hash="abc",
        stage="adapt",
        server_round=3,
        phase="lora_a",
        frozen_hash="",
        registered_cases=12,
        start=START,
        **norm,
    )
    validate(payload, expected)


def test_a_payload_that_moved_farther_than_its_steps_can_is_refused_by_name() -> None:
    """The pathway moved by 3 and 4 from 1: 3 + 0.5 is allowed, then 4, and at last nothing."""
    accept(MOVED, reach=lambda _: Reach(3.5, 0.5))
    found = "tensor 'pet_embedding.weight' moved by up to 4, in {} value.s. of 4 farther than .* at most {}"
    with pytest.raises(NormError, match=f"1 finding.*\n  center 'hgj': {found.format(1, 3.5)}"):
        accept(MOVED, reach=lambda _: Reach(3, 0.5))
    with pytest.raises(NormError, match=found.format(2, 0)):
        accept(MOVED, reach=lambda _: Reach(0, 0))


def test_what_others_sent_before_refuses_nobody() -> None:
    """Centers that agree to send next to nothing do not have the honest one refused."""
    accept(MOVED, medians={PET: 1e-9, PEFT: 1e-9}, reach=lambda _: Reach(4, 0))


def test_a_group_without_a_median_of_its_own_is_not_checked(caplog: pytest.LogCaptureFixture) -> None:
    """Norm 5 is 5000 times the other group's median: neither refused nor noted."""
    accept(MOVED, medians={PEFT: 0.001})
    accept(MOVED)
    assert caplog.text == ""


def test_a_payload_that_moved_further_than_usual_is_accepted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    accept(MOVED, medians={PET: 2.0})
    assert (
        "center 'hgj': update of group 'pet' has norm 5, 2.5 times the study's median 2, usual is up to 1.5 times"
        in caplog.text
    )


def test_an_unsound_payload_has_no_norm() -> None:
    """A tensor of another shape cannot be compared with its start; its shape is the finding."""
    wrong = replace(MOVED, tensors={**START, "pet_embedding.weight": np.ones(5, np.float32)})
    with pytest.raises(PayloadError, match=r"1 finding\(s\)"):
        accept(wrong, medians={PET: 0.001})


STAGE = Stage(name="adapt", kind="adapt", centers=("a",), rounds=9, local_steps=1, learning_rate=0.1)


def record(center: str, norms: dict[str, float], stage: str = "adapt", phase: str = "lora_a") -> RoundRecord:
    return RoundRecord(stage, 1, center, phase=phase, update_norms=norms)


def test_a_group_has_a_median_once_three_updates_of_its_stage_and_phase_have_it() -> None:
    """peft: 1, 2, 4; of pet there are two. Other stages and phases do not count."""
    records = [record("a", {PEFT: 1, PET: 50}), record("b", {PEFT: 4, PET: 60}), record("c", {PEFT: 2})]
    others = [record("a", {PEFT: 9, PET: 9}, stage="arrive"), record("a", {PEFT: 9, PET: 9}, phase="lora_b")]
    assert norm_medians([*records, *others, record("d", {})], STAGE, "lora_a") == {PEFT: 2}
    assert norm_medians(records[:2], STAGE, "lora_a") == {}


def sent_by(center: str, peft: float, pet: float | None) -> Payload:
    """A payload whose groups moved by these norms."""
    tensors = {"qkv#lora_a": START["qkv#lora_a"].copy()}
    tensors["qkv#lora_a"][0, 0] += peft
    if pet is not None:
        tensors["pet_embedding.weight"] = START["pet_embedding.weight"] + np.float32(pet) * np.eye(4)[0].astype("f4")
    return replace(MOVED, center=center, tensors=tensors, support={PEFT: 12} | ({} if pet is None else {PET: 8}))


def test_the_one_center_with_pet_is_no_outlier_for_its_pathway() -> None:
    """Three centers move the adapter by 1, the fourth by 1 and its pathway by 50: accepted in each of six rounds."""
    centers = {"a": None, "b": None, "c": None, "pet": 50.0}
    records: list[RoundRecord] = []
    for _ in range(6):
        medians = norm_medians(records, STAGE, "lora_a")
        for center, pet in centers.items():
            payload = sent_by(center, 1.0, pet)
            accept(payload, medians=medians)
            records.append(record(center, update_norms(payload, START, SPECS)))
    assert norm_medians(records, STAGE, "lora_a") == {PEFT: pytest.approx(1), PET: pytest.approx(50)}


def test_a_round_that_asked_for_no_scores_keeps_what_is_said_of_loss_and_tensors() -> None:
    held = Suppressed({"ct": ("dice",)}, ("diagnostics", "loss"), ("pet",))
    answer = CenterAnswer(Reply("a", "train", suppressed=held))
    left = as_asked(answer, training(validate_first=False)).reply.suppressed
    assert left == Suppressed(parts=("loss",), groups=("pet",))
    assert as_asked(answer, training()).reply.suppressed == held


def test_an_update_of_a_center_that_lost_cases_raises_an_alarm() -> None:
    def of(**more: Any) -> RoundRecord:
        return record_of(CenterAnswer(Reply("a", "train", payload=MOVED, **more)), STAGE, 3, "", {})

    assert of(facts={"missing_cases": 2}).alarms == (FEWER_CASES,)
    assert of().alarms == ()
    assert FEWER_CASES in KINDS
