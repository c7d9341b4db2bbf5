"""Scores that are computed once: what names a network, what is reused, and what a comparison pairs."""

import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from client.data.preprocessing import PreparedCase
from client.learning.assembly import arrays_of, build, inject_adapter
from client.scores import scoring
from client.scores.scoring import Network, ScoreCache, Scored, scores_of
from client.tasks.contract import CaseScore, CenterTask
from fusion_models.adapters.keys import parameters_by_key
from fusion_models.registry import model_row
from protocol.messages.scores import Score
from protocol.messages.settings import Model, Preprocessing, StudySettings
from protocol.messages.tensors import BACKBONE, content_hash, group_of
from tests.support.masked_case import masked
from tests.support.segmentation_task import row as score_row
from tests.support.segmentation_task import segmentation

CROP = (16, 16, 16)
ROW = model_row("pemma-unetr-tiny")
ALL = ("ct", "pet", "ct+pet")
TASK = segmentation(CROP)
SETTINGS = StudySettings(
    study="small", seed=5, model=Model(name="pemma-unetr-tiny"), preprocessing=Preprocessing(crop_zyx=CROP)
)


def network(**changes: Any) -> Network:
    """The study's initial network."""
    model = build(SETTINGS, ROW)
    inject_adapter(model, SETTINGS, ROW)
    tensors = arrays_of(parameters_by_key(model))
    backbone = {key: array for key, array in tensors.items() if group_of(key, ROW.pathways) == BACKBONE}
    rest = {key: array for key, array in tensors.items() if key not in backbone}
    made = {"backbone": backbone, "backbone_hash": content_hash(backbone), "tensors": rest}
    return Network(**{"settings": SETTINGS, "row": ROW, **made, "device": "cpu", **changes})


def made(name: str, seed: int = 0, *, pet: bool = True) -> PreparedCase:
    rng = np.random.default_rng(seed)
    ct, second = (rng.random(CROP, dtype=np.float32) for _ in range(2))
    return masked(name, ct, second if pet else None, (ct > 0.7).astype(np.uint8))


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Case and setting of everything that is really scored."""
    calls = []
    really = scoring.score_now

    def counting(network: Network, task: CenterTask, case: PreparedCase, setting: str) -> scoring.Scored:
        calls.append((case.name, setting))
        return really(network, task, case, setting)

    monkeypatch.setattr(scoring, "score_now", counting)
    return calls


def test_an_unchanged_network_is_scored_once_and_answers_the_same(counted: list[tuple[str, str]]) -> None:
    cache, cases = ScoreCache(), [made("a"), made("b", 1, pet=False)]
    first = list(cache.scores(network(), TASK, cases, ALL))
    again = list(cache.scores(network(), TASK, cases, ALL))
    assert counted == [("a", "ct"), ("a", "pet"), ("a", "ct+pet"), ("b", "ct")]
    assert [row.score for row in first] == [row.score for row in again]
    assert [row.score for row in first] == [row.score for row in ScoreCache().scores(network(), TASK, cases, ALL)]
    assert all(np.array_equal(one.predicted, other.predicted) for one, other in zip(first, again, strict=True))
    assert first[0].predicted.shape == CROP


def test_a_network_that_was_scored_before_is_not_even_assembled(counted: list[tuple[str, str]]) -> None:
    cache = ScoreCache()
    cache.fullest(network(), TASK, [made("a")])
    again = network()
    assert cache.fullest(again, TASK, [made("a")])["a"].modalities == "ct+pet"
    assert counted == [("a", "ct+pet")]
    assert "model" not in vars(again)


def test_its_name_changes_with_all_that_decides_a_prediction_and_with_nothing_else() -> None:
    plain = network()
    key = "vit.blocks.0.attn.qkv#lora_b"
    moved = {**plain.tensors, key: plain.tensors[key] + 1}
    finer = SETTINGS.model_copy(update={"preprocessing": Preprocessing(crop_zyx=CROP, spacing_zyx_mm=(2, 2, 2))})
    others = [network(tensors=moved), network(backbone_hash="0" * 64), network(settings=finer)]
    assert len({plain.name, *(other.name for other in others)}) == 4
    remembered = {**plain.tensors, f"{key}@control": plain.tensors[key]}
    assert network(tensors=remembered).name == plain.name


def test_the_oldest_scores_go_first(counted: list[tuple[str, str]]) -> None:
    cache = ScoreCache(size=2)
    for name in ("a", "b", "a", "c", "a", "b"):
        cache.score(network(), TASK, made(name), "ct")
    assert [name for name, _ in counted] == ["a", "b", "c", "b"]


class OneFigure:
    """A task whose rows all have one figure, which is the number of rows where it is defined."""

    def __init__(self, name: str) -> None:
        self.name = name

    def summarise(self, rows: Sequence[CaseScore]) -> Score:
        defined = sum(row.values[self.name] is not None for row in rows)
        return Score(len(rows), {self.name: float(defined)}, {self.name: len(rows) - defined}, {self.name: 1})


def rows_of(name: str, setting: str, **values: float | None) -> list[CaseScore]:
    return [CaseScore(case, setting, {name: value}) for case, value in values.items()]


def test_tasks_that_scored_other_cases_stand_in_one_score() -> None:
    """Two cases have a mask, three an outcome, one of them undefined; of four cases 2 and 2 lack a figure."""
    masks, outcomes = OneFigure("dice"), OneFigure("auc")
    rows: Any = {
        masks: rows_of("dice", "ct", a=0.5, b=0.5),
        outcomes: [*rows_of("auc", "ct", b=1.0, c=1.0, d=None), *rows_of("auc", "ehr", e=1.0)],
    }
    assert scores_of(rows) == {
        "ct": Score(4, {"dice": 2.0, "auc": 2.0}, {"dice": 2, "auc": 2}, {"dice": 1, "auc": 1}),
        "ehr": Score(1, {"auc": 1.0}, {"auc": 0}, {"auc": 1}),
    }


def test_the_scores_of_one_task_are_its_summary() -> None:
    rows = [score_row("a"), score_row("b", dice=None), score_row("c", "pet", dice=0.25)]
    assert scores_of({TASK: rows}) == {"ct": TASK.summarise(rows[:2]), "pet": TASK.summarise(rows[2:])}


class Risks:
    """A task that answers for cases, whatever the network."""

    name = "survival"

    def examine(self, *_: object) -> tuple[NDArray[np.float32], None]:
        return np.zeros(2, np.float32), None

    def score(self, case: PreparedCase, setting: str, _prediction: object) -> CaseScore:
        return CaseScore(case.name, setting, {})


def test_a_case_is_scored_once_for_each_task(counted: list[tuple[str, str]]) -> None:
    cache, net = ScoreCache(), network()
    other: Any = Risks()
    for task in (TASK, other, TASK):
        cache.score(net, task, made("a"), "ct")
    assert counted == [("a", "ct"), ("a", "ct")]


def test_how_sure_a_mask_is_is_counted_when_it_is_scored_and_of_no_other_answer() -> None:
    scored, other = (ScoreCache().score(network(), task, made("a"), "ct") for task in (TASK, Risks()))  # type: ignore[arg-type]  # enough of a task
    assert scored.margins is not None
    assert int(scored.margins.inside.sum()) == int(made("a").targets["segmentation"].sum())
    assert other.margins is None


def test_the_hash_of_the_adapter_is_that_of_the_bank_and_leaves_statistics_out() -> None:
    plain = network()
    remembered = {**plain.tensors, "x@control": np.ones(1, np.float32)}
    assert network(tensors=remembered).adapter_hash == content_hash(plain.tensors)


def test_a_prediction_comes_back_as_the_task_made_it() -> None:
    packed = zlib.compress(np.array([0.25, 0.5], np.float32).tobytes())
    scored = Scored(score_row("a"), (2,), np.dtype(np.float32), packed)
    assert scored.predicted.dtype == np.float32
    assert scored.predicted.tolist() == [0.25, 0.5]


def test_cases_without_the_target_are_not_scored(counted: list[tuple[str, str]]) -> None:
    bare = replace(made("bare"), targets={})
    assert list(ScoreCache().scores(network(), TASK, [bare], ALL)) == []
    assert ScoreCache().fullest(network(), TASK, [bare]) == {}
    assert counted == []
