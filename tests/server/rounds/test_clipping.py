"""Updates of a round held against each other."""

from pathlib import Path

import numpy as np
import pytest

from protocol.local_steps import reach_of
from protocol.messages.payload import Payload
from server.rounds.clipping import FLOOR, clip_roots, clip_updates, clipped, cuts_of
from tests.support.ended_round import end_round
from tests.support.hostile_updates import Sent, filled, times

PAYLOAD = Payload(
    "a",
    "",
    "adapt",
    1,
    {"m#lora_a": np.array([[3, 1]], np.float32), "m#lora_a@control": np.array([[8, 4]], np.float32)},
)


def test_a_cut_shortens_the_way_from_the_start() -> None:
    start = {"m#lora_a": np.ones((1, 2), np.float32)}
    found = clipped(PAYLOAD, start, {"peft": 0.5}, {})
    assert {key: array.tolist() for key, array in found.tensors.items()} == {
        "m#lora_a": [[2, 1]],
        "m#lora_a@control": [[8, 4]],
    }
    assert clipped(PAYLOAD, start, {"pet": 0.1}, {}).tensors == PAYLOAD.tensors


def to_the_limit(payload: Payload, received: Sent) -> Payload:
    """Every entry as far as the steps of the round could take it."""
    far = {key: received[key] + np.float32(1.9e-4) for key in payload.tensors}
    return Payload(**{**payload.__dict__, "tensors": far})


def test_one_center_that_moves_as_far_as_a_round_can_counts_twice_the_others_at_most(tmp_path: Path) -> None:
    ended = end_round(tmp_path, {"a": times(0.2), "b": times(0.2), "c": to_the_limit})
    records = clip_updates(ended.under_way, ended.entered.state, ended.records, ended.inbox)
    others = [record.update_norms["peft"] for record in ended.records[:2]]
    floor = FLOOR * reach_of(ended.under_way.training).move * 16**0.5
    limit = max(2 * float(np.median(others)), floor)
    assert records[2].clipped == {"peft": pytest.approx(limit / ended.records[2].update_norms["peft"])}
    start = ended.under_way.starts(ended.entered.state, "c")
    sent = ended.inbox.read("c", "adapt", 1).tensors
    length = np.sqrt(sum(np.square(array.astype(float) - start[key]).sum() for key, array in sent.items()))
    assert length == pytest.approx(limit, rel=1e-3)
    assert [record.clipped for record in records[:2]] == [{}, {}]


def test_two_that_send_next_to_nothing_do_not_silence_the_third(tmp_path: Path) -> None:
    ended = end_round(tmp_path, {"b": times(1e-9), "c": times(1e-9)})
    cut = cuts_of(ended.under_way, ended.records)
    floor = FLOOR * reach_of(ended.under_way.training).move * 16**0.5
    assert cut.get("a", {"peft": 1.0})["peft"] == pytest.approx(
        min(1.0, floor / ended.record("a").update_norms["peft"])
    )
    assert not {"b", "c"} & cut.keys()


def test_what_a_round_cannot_have_moved_never_gets_here(tmp_path: Path) -> None:
    ended = end_round(tmp_path, {"b": times(1e4), "c": filled(3e38)})
    assert [record.error for record in ended.records] == ["", "norm", "norm"]


def test_a_gram_root_weighs_no_more_than_twice_the_others() -> None:
    """Lengths 1 and 1e30: a trace of 2 beside 1."""
    found = clip_roots({"a": {"m@gram": np.eye(1, 3, dtype="f4")}, "b": {"m@gram": np.full((1, 3), 1e30, np.float32)}})
    traces = {center: float(np.square(tensors["m@gram"]).sum()) for center, tensors in found.items()}
    assert traces == {"a": 1, "b": pytest.approx(2)}
