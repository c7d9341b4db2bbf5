"""What a round takes here: measured on the center's own cases, in a process of its own."""

from dataclasses import replace

import pytest

from client.data.manifest import Case
from client.data.scan import scan_center
from client.learning.round_cost import TIMED_STEPS, RoundCost, RoundWork, measure_apart, measure_round, replace_steps
from protocol.errors import ModelError
from protocol.messages.reference import Reference
from protocol.messages.settings import Adapter, Model, Preprocessing, StudySettings, Training
from tests.support.two_cases import write_two_cases

SETTINGS = StudySettings(
    study="s",
    seed=0,
    model=Model(name="pemma-unetr-tiny"),
    adapter=Adapter(rank=2, alpha=4),
    preprocessing=Preprocessing(spacing_zyx_mm=(4.0, 4.0, 4.0), crop_zyx=(16, 16, 16)),
)
ADAPT = Training(groups=("pet", "peft"), local_steps=40, learning_rate=1e-3, modality_shares={"ct+pet": 0.5, "ct": 0.5})


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> tuple[Case, ...]:
    folder = write_two_cases(tmp_path_factory.mktemp("data") / "a")
    return scan_center("a", [folder], ("ct", "pet")).usable


def work(cases: tuple[Case, ...], training: Training = ADAPT) -> RoundWork:
    return RoundWork("adapt", "segmentation", SETTINGS, training, ("ct", "pet"), cases, cases)


def test_a_round_is_its_steps_and_its_predictions() -> None:
    """40 steps of 1.5 s and 6 predictions of 10 s are 2 minutes."""
    assert RoundCost("s", 40, 1.5, 10.0, 6, 0, 1).minutes == 2.0


def test_the_adapter_that_is_trained_alone_takes_its_steps_too(cases: tuple[Case, ...]) -> None:
    """40 more steps of 1.5 s are a minute more; a round that trains the backbone has none."""
    assert RoundCost("s", 40, 1.5, 10.0, 6, 0, 1, alone_steps=40).minutes == 3.0
    asking = SETTINGS.model_copy(update={"reference": Reference(local_only=True)})
    assert measure_round(replace(work(cases), settings=asking)).alone_steps == 40
    pretraining = ADAPT.model_copy(update={"groups": ("backbone",)})
    assert measure_round(replace(work(cases, pretraining), settings=asking)).alone_steps == 0
    assert measure_round(work(cases)).alone_steps == 0


def test_steps_and_predictions_are_timed_and_counted(cases: tuple[Case, ...]) -> None:
    """Two validation cases under CT+PET and CT."""
    found = measure_round(work(cases))
    assert (found.local_steps, found.predictions, found.loaded_cases) == (40, 4, 3)
    assert found.step_s > 0
    assert found.prediction_s > 0
    assert found.peak_bytes > 50e6


def test_a_round_that_scores_nothing_first_predicts_nothing(cases: tuple[Case, ...]) -> None:
    assert measure_round(work(cases, ADAPT.model_copy(update={"validate_first": False}))).predictions == 0


def test_a_stage_that_trains_nothing_here_is_told(cases: tuple[Case, ...]) -> None:
    with pytest.raises(ModelError, match="stage 'adapt' trains nothing"):
        measure_round(work(cases, ADAPT.model_copy(update={"groups": ("head",)})))


def test_steps_are_fewer_and_without_local_terms() -> None:
    asked = ADAPT.model_copy(update={"terms": {"ewc": 1.0}})
    assert replace_steps(asked, TIMED_STEPS) == ADAPT.model_copy(update={"local_steps": TIMED_STEPS})


def test_the_process_apart_says_the_same_and_no_more(cases: tuple[Case, ...]) -> None:
    """Its peak is its own, also where this process was larger before."""
    ballast = bytearray(1_500_000_000)
    ballast[::4096] = b"x" * len(ballast[::4096])
    found = measure_apart(work(cases))
    del ballast
    assert 100e6 < found.peak_bytes < 1_400_000_000
    assert found.predictions == 4
