"""Which releases a reply carries, and on whose patients they may stand."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import pytest

from client.privacy.reply_releases import Released, releases_in
from protocol.messages.instruction import Instruction, Kind
from protocol.messages.payload import Payload
from protocol.messages.privacy import Privacy
from protocol.messages.reply import Reply
from protocol.messages.scores import Comparison, Score
from protocol.modalities import ModalitySetting
from tests.support.leaving import INSTRUCTION

SCORES: Mapping[ModalitySetting, Score] = {"ct": Score(3, {"dice": 0.5})}
SETTINGS = INSTRUCTION.settings
PRIVATE = SETTINGS.model_copy(update={"privacy": Privacy(epsilon=3, delta=1e-3, clip_norm=1.0)})


def asked(kind: Kind) -> Instruction:
    return Instruction(kind, SETTINGS, "adapt", 4)


def payload(*keys: str) -> Payload:
    return Payload("hgj", "abc", "adapt", 3, {key: np.ones(2, np.float32) for key in keys})


def found(reply: Reply, instruction: Instruction, *, attacked: bool = False) -> list[Released]:
    return list(releases_in(reply, reply, instruction, content="hash", attacked=attacked))


def kinds(releases: Iterable[Released]) -> list[tuple[str, tuple[str, ...]]]:
    return [(each.release.kind, each.parts) for each in releases]


def test_a_round_releases_what_it_trained_and_the_scores_of_what_it_received() -> None:
    """The round is the payload's: a late update is handed out in a later one."""
    reply = Reply("hgj", "train", payload=payload("w"), scores=SCORES, loss=0.5)
    of_round = found(reply, asked("train"))
    assert kinds(of_round) == [("training", ("train",)), ("score", ("validation",))]
    assert (of_round[0].content, of_round[0].release.server_round) == ("hash", 3)
    assert found(replace(reply, kind="collect"), asked("collect")) == of_round


def test_of_a_private_round_the_scores_alone_have_no_mechanism() -> None:
    reply = Reply("hgj", "train", payload=payload("w"), scores=SCORES)
    assert kinds(found(reply, replace(asked("train"), settings=PRIVATE))) == [("score", ("validation",))]


def test_a_loss_without_tensors_and_diagnostics_without_scores_are_releases_too() -> None:
    reply = Reply("hgj", "train", loss=0.5, diagnostics={"gate/0/pet/mean": 0.1})
    assert kinds(found(reply, asked("train"))) == [("training", ("train",)), ("score", ("validation",))]


def test_a_row_of_scores_is_of_test_patients_and_equal_figures_are_one_release() -> None:
    one, other = (
        Reply("hgj", "evaluate", scores=SCORES),
        Reply("hgj", "evaluate", scores={"ct": Score(3, {"dice": 0.6})}),
    )
    assert kinds(found(one, asked("evaluate"))) == [("score", ("test",))]
    assert found(one, asked("evaluate")) == found(replace(one, seconds=9.0), asked("evaluate"))
    assert found(one, asked("evaluate"))[0].content != found(other, asked("evaluate"))[0].content


def test_statistics_are_told_apart_by_their_keys() -> None:
    reply = Reply("hgj", "observe", payload=payload("w@fisher", "m@gram", "features.ct@mean", "features.ct@scatter"))
    train = ("train",)
    assert kinds(found(reply, asked("observe"))) == [("fisher", train), ("gram", train), ("prototype", train)]


def test_a_statistic_that_no_kind_is_known_of_does_not_leave() -> None:
    with pytest.raises(KeyError, match="histogram"):
        found(Reply("hgj", "observe", payload=payload("w@histogram")), asked("observe"))


def test_a_comparison_that_an_attack_decided_is_of_training_patients_too_also_where_it_is_refused() -> None:
    compared, refused = (
        Reply("hgj", "compare", comparison=Comparison(3, 0.1, 0.01)),
        Reply("hgj", "compare", error="leak"),
    )
    assert kinds(found(compared, asked("compare"))) == [("comparison", ("validation",))]
    both = [("comparison", ("train", "validation"))]
    assert kinds(found(compared, asked("compare"), attacked=True)) == both
    assert kinds(found(refused, asked("compare"), attacked=True)) == both
    assert found(refused, asked("compare")) == []


@pytest.mark.parametrize(
    "reply", [Reply("hgj", "register", facts={"cases": 3}), Reply("hgj", "train", error="internal")]
)
def test_counts_and_errors_are_none(reply: Reply) -> None:
    assert found(reply, asked(reply.kind)) == []


def test_of_a_masked_round_the_loss_counts_that_the_sum_hides() -> None:
    plain = Reply("hgj", "train", payload=payload("w"), loss=0.5, scores=SCORES)
    masked = replace(plain, payload=payload("masked.peft"), loss=None)
    releases = list(releases_in(plain, masked, asked("train"), content="masked", attacked=False))
    assert (releases[0].release.kind, releases[0].content) == ("training", "masked")
