"""What leaves a center is on the allow-list and in the log, or it does not leave."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.outgoing.egress import FACTS
from client.outgoing.payload_egress import EgressLimits
from protocol.errors import StorageError, known_codes
from protocol.messages.instruction import Instruction
from protocol.messages.payload import Payload
from protocol.messages.reply import Comparison, Reply, Score
from protocol.messages.settings import Model, StudySettings
from protocol.messages.tensors import TensorSpec, content_hash
from protocol.messages.text import to_text
from tests.support.leaving import leave

SPECS = (
    TensorSpec(key="a#lora_a", group="peft", shape=(1, 2)),
    TensorSpec(key="pet.weight", group="pet", shape=(2,)),
    TensorSpec(key="a#center_a", group="center", shape=(1, 2)),
    TensorSpec(key="norm#norm_bias", group="norm", shape=(2,)),
    TensorSpec(key="conv#lora_a", group="peft", shape=(4, 2, 3, 3, 3)),
)
GROUPS_AND_STATISTICS = [
    "backbone",
    "pet",
    "fusion",
    "peft",
    "center",
    "norm",
    "gram",
    "fisher",
    "features.ct",
    "features.pet",
]
TENSORS = {"a#lora_a": np.array([[1, 2]], np.float32)}
PAYLOAD = Payload(
    center="a", backbone_hash="0" * 64, stage="adapt", server_round=3, tensors=TENSORS, support={"peft": 5}
)
REPLY = Reply(
    center="a",
    kind="train",
    payload=PAYLOAD,
    scores={"ct+pet": Score(cases=5, dice=0.7, hd95_mm=4.0)},
    loss=0.4,
    seconds=1.5,
    facts={"train_cases": 5, "modalities": "ct+pet"},
)
INSTRUCTION = Instruction(kind="train", settings=StudySettings(study="s", seed=0, model=Model(name="none")))


def _leave(reply: Reply, log: Path, *, sketch_rank: int = 32, **limits: Any) -> Reply:
    allowed: dict[str, Any] = {"owned_groups": ("peft",), "minimum_cases": 5, "maximum_bytes": 8}
    return leave(reply, log, EgressLimits(**(allowed | limits)), SPECS, sketch_rank=sketch_rank)


def _lines(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def _with(**changes: Any) -> Reply:
    return replace(REPLY, payload=replace(PAYLOAD, **changes))


def test_agreed_reply_leaves_unchanged_and_is_logged(tmp_path: Path) -> None:
    """Two float32 values are 8 bytes, the cap exactly; 5 cases stand behind them, the minimum exactly."""
    log = tmp_path / "logs" / "outgoing.jsonl"
    assert _leave(REPLY, log) is REPLY
    (line,) = _lines(log)
    assert line.pop("time").endswith("+00:00")
    assert len(line.pop("names_sha256")) == 64
    text = to_text(REPLY).encode()
    assert (line.pop("text_bytes"), line.pop("text_sha256")) == (len(text), hashlib.sha256(text).hexdigest())
    assert line == {
        "again": False,
        "loss": 0.4,
        "center": "a",
        "kind": "train",
        "error": "",
        "stage": "adapt",
        "server_round": 3,
        "tensors": 1,
        "bytes": 8,
        "phase": "",
        "statistics": [],
        "support": {"peft": 5},
        "content_sha256": content_hash(TENSORS),
        "scores": {"ct+pet": {"cases": 5, "dice": 0.7, "hd95_mm": 4.0, "dice_undefined": 0, "hd95_undefined": 0}},
        "comparison": None,
        "diagnostics": {},
        "facts": {"train_cases": 5, "modalities": "ct+pet"},
        "held_back": [],
    }


@pytest.mark.parametrize(
    ("reply", "limits", "reason"),
    [
        (_with(tensors={"image": np.array([1], np.float32)}), {}, "tensor 'image' is not one of the study's 5"),
        (
            _with(tensors={"pet.weight": np.array([1, 2], np.float32)}, support={"pet": 9}),
            {},
            "tensor 'pet.weight' is of group 'pet', this center sends ['peft']",
        ),
        (
            _with(tensors={"a#lora_a": np.array([1, 2], np.float32)}),
            {},
            "tensor 'a#lora_a' has shape (2,), the study's is (1, 2)",
        ),
        (
            _with(tensors={"a#lora_a": np.array([[1, 2]], np.float64)}),
            {"maximum_bytes": 16},
            "tensor 'a#lora_a' is float64, expected float32",
        ),
        (
            _with(tensors={"a#lora_a": np.array([[1, np.nan]], np.float32)}),
            {},
            "tensor 'a#lora_a' holds a value that is not finite",
        ),
        (_with(support={"peft": 4}), {}, "tensors of group 'peft' stand on 4 case(s), this center sends from 5 on"),
        (_with(support={}), {}, "tensors of group 'peft' stand on 0 case(s), this center sends from 5 on"),
        (REPLY, {"maximum_bytes": 7}, "payload has 8 bytes, this center sends at most 7"),
        (_with(center="DOE"), {}, "payload is of center 'DOE', reply of 'a'"),
        (_with(backbone_hash="DOE^JOHN"), {}, "backbone_hash is not 64 hexadecimal digits"),
        (
            _with(support={"peft": 5, "DOE": 1}),
            {},
            f"support of group 'DOE' is 1, expected a count for one of {GROUPS_AND_STATISTICS}",
        ),
        (_with(frozen_hash="DOE^JOHN"), {}, "frozen_hash is not 64 hexadecimal digits"),
        (_with(phase="lora_b+DOE"), {}, "phase names something else than ['lora_a', 'lora_b', 'magnitude']"),
        (replace(REPLY, comparison=Comparison(9, 1.5)), {}, "comparison: difference is outside [-1, 1]"),
        (replace(REPLY, comparison=Comparison(9, float("nan"))), {}, "comparison: difference is outside [-1, 1]"),
        (
            replace(REPLY, comparison=Comparison(9, 0.5, (0.0,) * 1001)),
            {},
            "comparison: has 1001 replicates, expected at most 1000",
        ),
        (
            replace(REPLY, comparison=Comparison(9, "DOE")),  # type: ignore[arg-type]
            {},
            "comparison: holds something else than a count and numbers",
        ),
        (replace(REPLY, loss=float("inf")), {}, "loss is inf, expected a finite number"),
    ],
)
def test_what_is_not_agreed_stops_the_reply(tmp_path: Path, reply: Reply, limits: dict[str, Any], reason: str) -> None:
    """The coordinator sees a code; the one reason is in the log."""
    log = tmp_path / "outgoing.jsonl"
    assert _leave(reply, log, **limits) == Reply(center="a", kind="train", error="egress-refused")
    (line,) = _lines(log)
    assert line["held_back"] == [reason]
    assert (line["error"], line["tensors"], line["bytes"]) == ("egress-refused", 0, 0)


def _sends(key: str, shape: tuple[int, ...], **support: int) -> Reply:
    """The reply with one more tensor of ones and what stands behind it."""
    tensors = {**TENSORS, key: np.ones(shape, np.float32)}
    return _with(tensors=tensors, support={"peft": 5} | {name.replace("_", "."): n for name, n in support.items()})


ALL: dict[str, Any] = {"owned_groups": ("pet", "peft", "center", "norm"), "maximum_bytes": 1 << 30, "sketch_rank": 3}


@pytest.mark.parametrize(
    "reply",
    [
        _with(phase="lora_b+magnitude", frozen_hash="f" * 64),
        _sends("a#center_a", (1, 2), center=5),
        _sends("norm#norm_bias", (2,), norm=5),
        _sends("a#lora_a@control", (1, 2)),
        _sends("a#lora_a@own", (1, 2)),
        _sends("a#lora_a@fisher", (1, 2), fisher=5),
        _sends("a@gram", (3, 2), gram=5),
        _sends("a@gram", (1, 2), gram=5),
        _sends("conv@gram", (3, 54), gram=5),
        _sends("features.ct@mean", (7,), features_ct=5),
        _sends("features.ct@scatter", (7, 7), features_ct=5),
        _sends("features.pet@mean", (4096,), features_pet=5),
    ],
)
def test_agreed_groups_and_statistics_leave(tmp_path: Path, reply: Reply) -> None:
    """A convolution of 2 channels and 3 x 3 x 3 voxels has 54 inputs."""
    log = tmp_path / "log"
    assert _leave(reply, log, **ALL) is reply
    assert reply.payload is not None
    names = {key.partition("@")[2] for key in reply.payload.tensors} - {""}
    assert _lines(log)[0]["statistics"] == sorted(names)


@pytest.mark.parametrize(
    ("reply", "limits", "reason"),
    [
        (_sends("a#lora_a@moment", (1, 2)), {}, "tensor 'a#lora_a@moment' is not one of the study's 5"),
        (_sends("b#lora_a@control", (1, 2)), {}, "tensor 'b#lora_a@control' is not one of the study's 5"),
        (_sends("pet.weight@gram", (1, 2), gram=5), {}, "tensor 'pet.weight@gram' is not one of the study's 5"),
        (_sends("features.mr@mean", (7,)), {}, "tensor 'features.mr@mean' is not one of the study's 5"),
        (_sends("a#lora_a@own@control", (1, 2)), {}, "tensor 'a#lora_a@own@control' is not one of the study's 5"),
        (_sends("a#lora_a@own", (2, 1)), {}, "tensor 'a#lora_a@own' has shape (2, 1), the study's is (1, 2)"),
        (_sends("a@gram", (4, 2), gram=5), {}, "tensor 'a@gram' has shape (4, 2), the study's is (3, 2)"),
        (_sends("a@gram", (3, 3), gram=5), {}, "tensor 'a@gram' has shape (3, 3), the study's is (3, 2)"),
        (
            _sends("features.ct@mean", (4097,), features_ct=5),
            {},
            "tensor 'features.ct@mean' has shape (4097,), the study's is (4096,)",
        ),
        (
            _sends("features.ct@scatter", (7, 6), features_ct=5),
            {},
            "tensor 'features.ct@scatter' has shape (7, 6), the study's is (7, 7)",
        ),
        (
            _sends("features.pet@mean", (7,), features_pet=5),
            {"owned_groups": ("peft",)},
            "tensor 'features.pet@mean' is of group 'pet', this center sends ['peft']",
        ),
        (
            _sends("pet.weight@fisher", (2,), fisher=5),
            {"owned_groups": ("peft",)},
            "tensor 'pet.weight@fisher' is of group 'pet', this center sends ['peft']",
        ),
        (
            _sends("a@gram", (3, 2), gram=4),
            {},
            "tensors of group 'gram' stand on 4 case(s), this center sends from 5 on",
        ),
        (
            _sends("features.ct@mean", (7,)),
            {},
            "tensors of group 'features.ct' stand on 0 case(s), this center sends from 5 on",
        ),
    ],
)
def test_other_statistics_stop_the_reply(tmp_path: Path, reply: Reply, limits: dict[str, Any], reason: str) -> None:
    log = tmp_path / "log"
    assert _leave(reply, log, **(ALL | limits)) == Reply(center="a", kind="train", error="egress-refused")
    assert _lines(log)[0]["held_back"] == [reason]


def test_a_statistic_that_is_not_finite_stops_the_reply(tmp_path: Path) -> None:
    reply = _with(tensors={"a@gram": np.array([[1, np.inf]], np.float32)}, support={"gram": 5})
    assert _leave(reply, tmp_path / "log", **ALL).error == "egress-refused"


COMPARED = Reply(center="a", kind="compare", comparison=Comparison(cases=5, difference=0.25, replicates=(0.5, 0.0)))


def test_comparison_on_enough_cases_leaves(tmp_path: Path) -> None:
    """Five cases, the minimum exactly."""
    log = tmp_path / "log"
    assert _leave(COMPARED, log) is COMPARED
    line = _lines(log)[0]
    assert (line["comparison"], line["held_back"]) == ({"cases": 5, "difference": 0.25, "replicates": 2}, [])


def test_comparison_on_too_few_cases_is_withheld_alone(tmp_path: Path) -> None:
    log = tmp_path / "log"
    reply = replace(COMPARED, scores=REPLY.scores, comparison=Comparison(4, 0.25, (0.5,)))
    assert _leave(reply, log) == replace(COMPARED, scores=REPLY.scores, comparison=None)
    line = _lines(log)[0]
    assert line["comparison"] is None
    assert line["held_back"] == ["comparison stands on 4 case(s), this center sends from 5 on"]


def _few(cases: int, **undefined: int) -> Score:
    return Score(cases, 0.5, 3.0, **undefined)


@pytest.mark.parametrize(
    ("scores", "leaving", "reason"),
    [
        ({"ct": _few(4), "ct+pet": _few(5)}, {"ct+pet": _few(5)}, "scores of setting 'ct' stand on 4 case(s)"),
        (
            {"ct": _few(6, dice_undefined=2)},
            {"ct": replace(_few(6, dice_undefined=2), dice=None)},
            "Dice of setting 'ct' stands on 4 case(s)",
        ),
        (
            {"ct": _few(6, hd95_undefined=5)},
            {"ct": replace(_few(6, hd95_undefined=5), hd95_mm=None)},
            "HD95 of setting 'ct' stands on 1 case(s)",
        ),
    ],
)
def test_scores_on_too_few_cases_are_withheld_alone(tmp_path: Path, scores: Any, leaving: Any, reason: str) -> None:
    """What is withheld is undefined, not zero; a mean over six cases of which two count is a mean of four or two."""
    reply = replace(REPLY, scores=scores)
    assert _leave(reply, tmp_path / "log") == replace(reply, scores=leaving)
    assert _lines(tmp_path / "log")[0]["held_back"] == [f"{reason}, this center sends from 5 on"]


def test_a_loss_without_enough_training_cases_behind_it_is_withheld_alone(tmp_path: Path) -> None:
    reply = replace(REPLY, payload=replace(PAYLOAD, tensors={}, support={"peft": 4, "pet": 2}))
    assert _leave(reply, tmp_path / "log") == replace(reply, loss=None)
    line = _lines(tmp_path / "log")[0]
    assert line["held_back"] == ["loss stands on 4 case(s), this center sends from 5 on"]
    assert line["loss"] is None


def test_counts_of_cases_leave_however_small(tmp_path: Path) -> None:
    reply = Reply(center="a", kind="register", facts={"validation_cases": 1, "test_cases": 0})
    assert _leave(reply, tmp_path / "log") is reply


def test_every_line_has_its_stage_and_round(tmp_path: Path) -> None:
    """Also where no payload carries them."""
    asked = replace(INSTRUCTION, stage="arrive", server_round=7)
    leave(Reply("a", "evaluate"), tmp_path / "log", EgressLimits((), 5, 8), instruction=asked, again=True)
    line = _lines(tmp_path / "log")[0]
    assert (line["stage"], line["server_round"], line["again"]) == ("arrive", 7, True)


def test_a_reply_that_cannot_be_written_as_declared_stays(tmp_path: Path) -> None:
    reply = _with(server_round="DOE^JOHN")
    assert _leave(reply, tmp_path / "log").error == "egress-refused"
    assert "payload.server_round" in _lines(tmp_path / "log")[0]["held_back"][0]
    assert "DOE" not in (tmp_path / "log").read_text()


def test_a_line_that_a_crash_cut_off_does_not_swallow_the_next(tmp_path: Path) -> None:
    (tmp_path / "log").write_text('{"kind": "tra')
    _leave(REPLY, tmp_path / "log")
    first, second = (tmp_path / "log").read_text().splitlines()
    assert first == '{"kind": "tra'
    assert json.loads(second)["kind"] == "train"


def test_comparison_of_a_refused_reply_gives_no_second_reason(tmp_path: Path) -> None:
    reply = replace(COMPARED, comparison=Comparison(4, 0.25), loss=float("nan"))
    assert _leave(reply, tmp_path / "log").error == "egress-refused"
    assert _lines(tmp_path / "log")[0]["held_back"] == ["loss is nan, expected a finite number"]


@pytest.mark.parametrize(
    "reply",
    [
        replace(REPLY, facts={"patient": "DOE^JOHN"}),
        replace(REPLY, facts={"modalities": "DOE^JOHN"}),
        replace(REPLY, facts={"train_cases": 5.0}),
        replace(REPLY, facts={"train_cases": True}),
        replace(REPLY, scores={"DOE": Score(cases=1, dice=0.5, hd95_mm=None)}),  # type: ignore[dict-item]
        replace(REPLY, scores={"ct": Score(cases=1, dice=20200101.0, hd95_mm=None)}),
        replace(REPLY, scores={"ct": Score(cases=-1, dice=0.5, hd95_mm=None)}),
        replace(REPLY, scores={"ct": Score(cases=1, dice=0.5, hd95_mm=float("nan"))}),
    ],
)
def test_unknown_fact_or_score_stops_the_reply(tmp_path: Path, reply: Reply) -> None:
    assert _leave(reply, tmp_path / "log").error == "egress-refused"
    assert len(_lines(tmp_path / "log")[0]["held_back"]) == 1


def test_all_reasons_are_found(tmp_path: Path) -> None:
    """One tensor unknown, one not finite, a cap exceeded, a fact unknown: four reasons."""
    tensors = {"image": np.array([1], np.float32), "a#lora_a": np.array([[1, np.inf]], np.float32)}
    _leave(replace(_with(tensors=tensors), facts={"patient": 1}), tmp_path / "log")
    assert len(_lines(tmp_path / "log")[0]["held_back"]) == 4


def test_error_travels_as_code_alone(tmp_path: Path) -> None:
    reply = replace(REPLY, error="cases")
    assert _leave(reply, tmp_path / "log") == Reply(center="a", kind="train", error="cases")


def test_error_text_becomes_internal(tmp_path: Path) -> None:
    reply = Reply(center="a", kind="train", error="cannot read /data/DOE^JOHN")
    assert _leave(reply, tmp_path / "log") == Reply(center="a", kind="train", error="internal")
    assert _lines(tmp_path / "log")[0]["held_back"] == ["error 'cannot read /data/DOE^JOHN' is not a known code"]


def test_known_codes_come_from_the_error_tree() -> None:
    assert {"failed", "cases", "model", "internal", "egress-refused", "unreadable"} <= known_codes()


def test_failed_log_keeps_the_reply_in(tmp_path: Path) -> None:
    """A folder stands where the log should be: the reply must not leave unlogged."""
    with pytest.raises(StorageError, match="nothing leaves until it can"):
        _leave(REPLY, tmp_path)


def test_log_keeps_earlier_lines(tmp_path: Path) -> None:
    for _ in range(3):
        _leave(REPLY, tmp_path / "log")
    assert len(_lines(tmp_path / "log")) == 3


@given(name=st.text(), value=st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text())
def test_no_fact_outside_the_table_leaves(
    tmp_path_factory: pytest.TempPathFactory, name: str, value: float | str
) -> None:
    leaving = _leave(replace(REPLY, facts={name: value}), tmp_path_factory.mktemp("egress") / "log")
    assert leaving.error == "egress-refused" or name in FACTS
