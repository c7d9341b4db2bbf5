"""The study file: what it means, and that each mistake in it is named."""

from pathlib import Path

import pytest

from client.assembly import ledger
from server.study import Study, read_study
from strategies.aggregation.schemes import SCHEMES
from strategies.errors import StudyError
from strategies.tensors import PEFT
from tests.small_study import STUDY, write_study

FILES = sorted((Path(__file__).resolve().parent.parent / "studies").glob("*.toml"))


def read(folder: Path, text: str) -> Study:
    return read_study(write_study(folder / "study.toml", text))


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return read(tmp_path, STUDY)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seed = 5", "sede = 5", r"sede: Extra inputs are not permitted"),
        ("rank = 2", "rnk = 2", r"adapter\.rnk: Extra inputs are not permitted"),
        ("local_steps = 4", "local_stps = 4", r"stages\.1\.local_stps: Extra inputs"),
        ("rounds = 1", "rounds = 0", r"stages\.2\.rounds: Input should be greater than 0"),
        ("learning_rate = 1e-3", "learning_rate = inf", r"stages\.0\.learning_rate"),
        ('kind = "arrive"', 'kind = "leave"', r"stages\.2\.kind: Input should be 'pretrain', 'adapt' or 'arrive'"),
        ('["ct"]', '["mr"]', r"centers\.center-d\.modalities\.0: Input should be 'ct' or 'pet'"),
        ('["ct"]', "[]", r"centers\.center-d\.modalities: .*at least 1 item"),
        (
            'centers = ["center-d"]',
            'centers = ["center-e"]',
            r"stage 'arrive' names center\(s\) \['center-e'\].*defined: \['center-a', 'center-d'\]. Add \[centers.cen",
        ),
        ('name = "adapt"', 'name = "pretrain"', r"stage names must differ, found \['pretrain', 'pretrain', 'arrive'\]"),
        ("[centers.center-d]", '[centers."../d"]', r"center name\(s\) \['../d'\] cannot be used"),
        ("[centers.center-d]", "[centers.shared]", r"center name\(s\) \['shared'\] cannot be used"),
        (
            'kind = "arrive"',
            'kind = "arrive"\naggregation = "median"',
            r"stage 'arrive' asks for aggregation 'median'; known: \['local-only', 'support-mean'\]",
        ),
        ("pet_window_suv = [0.0, 15.0]", "pet_window_suv = [5.0, 5.0]", r"pet_window_suv must ascend, found \[5.0, 5"),
        ("seed = 5", "seed = = 5", r"is not valid TOML: .*line 6"),
    ],
)
def test_a_mistake_is_named(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert old in STUDY
    with pytest.raises(StudyError, match=rf"study file {tmp_path}/study.toml [\s\S]*{message}"):
        read(tmp_path, STUDY.replace(old, new, 1))


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    text = STUDY.replace("seed = 5", "sede = 5").replace("rank = 2", "rank = -2")
    with pytest.raises(StudyError, match=r"has 2 problem\(s\):\n(.*\n)?.*(sede|rank)"):
        read(tmp_path, text)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"none.toml does not exist; give the path of a study.toml"):
        read_study(tmp_path / "none.toml")


def test_a_folder_in_place_of_the_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=f"study file {tmp_path} cannot be read: Is a directory"):
        read_study(tmp_path)


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StudyError, match=r"study.toml is not valid TOML: .*can't decode byte 0xff"):
        read_study(tmp_path / "study.toml")


def test_a_stage_trains_what_its_kind_trains(study: Study) -> None:
    pretrain, adapt, arrive = (stage.training for stage in study.stages)
    assert (pretrain.groups, adapt.groups, arrive.groups) == (("backbone",), ("pet", "peft"), ("peft",))
    assert pretrain.modality_shares == {"ct": 1.0}
    assert adapt.modality_shares == arrive.modality_shares == {"ct+pet": 0.6, "ct": 0.2, "pet": 0.2}


def test_what_a_stage_says_replaces_what_its_kind_says(tmp_path: Path) -> None:
    changed = 'kind = "arrive"\ngroups = ["pet"]\nmodality_shares = { pet = 1.0 }'
    stage = read(tmp_path, STUDY.replace('kind = "arrive"', changed)).stages[2]
    assert (stage.training.groups, stage.training.modality_shares) == (("pet",), {"pet": 1.0})


def test_the_rate_falls_along_half_a_cosine(tmp_path: Path) -> None:
    """4 rounds from 1e-3: (1 + cos(k pi / 4)) / 2 for k = 0, 1, 2, 3."""
    stage = read(tmp_path, STUDY.replace("rounds = 2", "rounds = 4", 1)).stages[0]
    rates = [stage.training_in(completed).learning_rate for completed in range(4)]
    assert rates == pytest.approx([1e-3, 8.5355339e-4, 5e-4, 1.4644661e-4])
    assert stage.training.learning_rate == 1e-3


def test_what_travels_holds_no_center_and_no_stage(study: Study) -> None:
    assert study.settings.study == "small"
    assert set(study.settings.model_dump()) == {"study", "seed", "model", "adapter", "preprocessing", "split"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_study_of_the_repository_can_be_run(path: Path) -> None:
    found = read_study(path)
    groups = {spec.group for spec in ledger(found.settings.model_dump_json())}
    trained = {group for stage in found.stages for group in stage.training.groups}
    assert trained <= groups | {PEFT}
    assert {stage.aggregation for stage in found.stages} <= set(SCHEMES)
    assert any(center.evaluated for center in found.centers.values())
    assert found.synthetic == (path.stem == "demo")


def test_the_repository_has_studies() -> None:
    assert {"demo", "sts"} <= {path.stem for path in FILES}
