"""What raises an alarm, and that nothing else comes of it."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from server.rounds.alarms import raise_alarms
from server.rounds.clipping import clip_updates
from server.study.history import History, RoundRecord
from tests.support.attacks import Replayed, send_back
from tests.support.ended_round import Change, Ended, end_round
from tests.support.hostile_updates import times
from tests.support.seven_centers import attacked, concluded, seven_centers


def alarms(ended: Ended, history: History | None = None) -> dict[str, tuple[str, ...]]:
    found = raise_alarms(ended.under_way, history or History(), ended.records)
    return {record.center: record.alarms for record in found}


def test_honest_centers_raise_none(tmp_path: Path) -> None:
    assert alarms(end_round(tmp_path, {})) == {"a": (), "b": (), "c": ()}


def test_a_free_rider_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert alarms(end_round(tmp_path, {"b": send_back})) == {"a": (), "b": ("unmoved",), "c": ()}
    assert "center 'b', round 1: its update moved nothing" in caplog.text


@pytest.mark.parametrize(("factor", "found"), [(1e-4, ("unmoved",)), (0.1, ())])
def test_next_to_nothing_is_nothing(factor: float, found: tuple[str, ...], tmp_path: Path) -> None:
    assert alarms(end_round(tmp_path, {"b": times(factor)}))["b"] == found


def test_tensors_of_an_earlier_round_are_named_with_their_first_sender(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ended = end_round(tmp_path, {})
    earlier = replace(ended.record("b"), server_round=7, center="z")
    with caplog.at_level(logging.WARNING):
        assert alarms(ended, History((earlier,))) == {"a": (), "b": ("replayed",), "c": ()}
    assert "center 'b', round 1: sent the tensors of center 'z' in round 7 again" in caplog.text


def test_two_centers_that_sent_the_same_are_both_named(tmp_path: Path) -> None:
    ended = end_round(tmp_path, {})
    records = tuple(replace(record, sha256="same") if record.center in "ac" else record for record in ended.records)
    assert alarms(replace(ended, records=records)) == {"a": ("copied",), "b": (), "c": ("copied",)}


def test_a_replaying_center_sends_what_it_sent_first(tmp_path: Path) -> None:
    replayed = Replayed()
    first, second = (end_round(tmp_path / name, {"b": replayed}) for name in "xy")
    assert first.record("b").sha256 == second.record("b").sha256
    other = end_round(tmp_path / "z", {"b": times(0.5)})
    assert other.record("b").sha256 != first.record("b").sha256


def test_an_update_far_above_the_median_of_its_stage_is_kept_as_unusual(tmp_path: Path) -> None:
    ended = end_round(tmp_path, {})
    small = RoundRecord("adapt", 1, "z", phase=ended.record("a").phase, update_norms={"peft": 1e-9})
    assert alarms(ended, History((small, small, small)))["a"] == ("unusual",)


def test_a_refused_update_raises_none(tmp_path: Path) -> None:
    assert alarms(end_round(tmp_path, {"b": times(1e4)}))["b"] == ()


def test_what_raised_an_alarm_was_used(tmp_path: Path) -> None:
    after = concluded(attacked(tmp_path, seven_centers(), send_back))
    assert [record.alarms for record in after.history.rounds if record.center == "d"] == [("unmoved",)]
    assert not any(record.error for record in after.history.rounds)


@pytest.mark.parametrize(("lines", "cut", "told"), [((), True, ()), (('clipping = "alarm"',), False, ("long",))])
def test_a_study_may_ask_for_an_alarm_in_the_place_of_a_cut(
    lines: tuple[str, ...], cut: bool, told: tuple[str, ...], tmp_path: Path
) -> None:
    longer: Change = times(2.4)
    ended = attacked(tmp_path, seven_centers("", *lines), longer)
    before = ended.inbox.read("d", "adapt", 1).tensors["qkv#lora_b"].tobytes()
    records = clip_updates(ended.under_way, ended.entered.state, ended.records, ended.inbox)
    found = next(record for record in records if record.center == "d")
    assert (bool(found.clipped), found.alarms) == (cut, told)
    assert (ended.inbox.read("d", "adapt", 1).tensors["qkv#lora_b"].tobytes() != before) == cut
