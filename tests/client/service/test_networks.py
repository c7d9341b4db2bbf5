"""A backbone crosses the network once, and never another than was agreed on."""

from dataclasses import replace

import pytest

from client.service.trainer import Trainer
from tests.support.start_state import Start


def test_it_asks_for_the_backbone_once_and_keeps_it(both: Trainer, start: Start) -> None:
    lacking = start.instruction("evaluate", send=False)
    assert both.perform(lacking).error == "backbone-missing"
    assert both.perform(start.instruction("evaluate")).error == ""
    assert both.perform(lacking).error == ""
    assert [path.stem for path in (both.home / "backbones").iterdir()] == [start.hash]


def test_it_refuses_a_backbone_with_another_hash(both: Trainer, start: Start, caplog: pytest.LogCaptureFixture) -> None:
    other = {key: array + 1 for key, array in start.backbone.items()}
    asked = start.instruction()
    for wrong in (replace(asked, backbone=other), replace(asked, tensors={**start.rest, **other})):
        caplog.clear()
        reply = both.perform(wrong)
        assert (reply.error, reply.payload) == ("model", None)
        assert "nothing was trained on it" in caplog.text
    assert not (both.home / "backbones").exists()


def test_a_stage_that_trains_the_backbone_keeps_none_on_disk_until_it_is_scored(ct_only: Trainer, start: Start) -> None:
    moving = replace(start.instruction(stage=0, send=False), tensors=start.backbone)
    reply = ct_only.perform(moving)
    assert reply.payload is not None
    assert set(reply.payload.tensors) == set(start.backbone)
    assert not (ct_only.home / "backbones").exists()
    ct_only.perform(replace(start.instruction("evaluate", 0, send=False), tensors=start.backbone))
    assert ct_only.perform(start.instruction("evaluate", send=False)).error == ""


def test_two_backbones_are_compared_each_under_its_own_hash(ct_only: Trainer, start: Start) -> None:
    """The stage trains on CT, and its settings say under what the cases are scored; none is kept on disk."""
    other = {key: array + 1 for key, array in start.backbone.items()}
    asked = replace(
        start.instruction("compare", 0, send=False),
        training=start.study.training_in(start.study.stages[0], 0),
        tensors=start.backbone,
        reference=other,
    )
    same, differing = (ct_only.perform(replace(asked, reference=it)) for it in (start.backbone, other))
    assert same.comparison is not None
    assert (same.comparison.difference, same.comparison.cases) == (0, 1)
    assert (differing.error, differing.comparison is None) == ("", False)
    assert ct_only.perform(replace(asked, tensors=other, reference=start.backbone)).error == "model"
    assert not (ct_only.home / "backbones").exists()
