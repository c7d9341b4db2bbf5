"""The study file: what it means, and that each mistake in it is named."""

from pathlib import Path

import pytest

from client.learning.assembly import study_specs
from protocol.errors import StudyError
from protocol.messages.tensors import EHR, FUSION, PEFT, PET, kind_of
from server.study.file import Study, read_study
from strategies.aggregation.schemes import SCHEMES
from tests.support.small_study import STUDY, write_study

FOLDER = Path(__file__).resolve().parents[3] / "studies"
FILES = sorted(path for path in FOLDER.glob("*.toml") if not path.stem.endswith("-benchmark"))


def read(folder: Path, text: str) -> Study:
    return read_study(write_study(folder / "study.toml", text))


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return read(tmp_path, STUDY)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seed = 5", "sede = 5", r"sede: Extra inputs are not permitted"),
        ("seed = 5", "seed = 99999999999999999999997", r"seed: Value error, an integer must be from"),
        ("rank = 2", "rnk = 2", r"adapter\.rnk: Extra inputs are not permitted"),
        ("local_steps = 4", "local_stps = 4", r"stages\.1\.local_stps: Extra inputs"),
        ("rounds = 1", "rounds = 0", r"stages\.2\.rounds: Input should be greater than 0"),
        ("learning_rate = 1e-3", "learning_rate = inf", r"stages\.0\.learning_rate"),
        ('kind = "arrive"', 'kind = "leave"', r"stages\.2\.kind: Input should be 'pretrain', 'adapt' or 'arrive'"),
        ('["ct"]', '["mr"]', r"centers\.center-d\.modalities\.0: Input should be 'ct', 'pet' or 'ehr'"),
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
            r"stage 'arrive' asks for aggregation 'median'; known: \['alt-exact', .*'fedit', .*'ties'\]",
        ),
        ("pet_window_suv = [0.0, 15.0]", "pet_window_suv = [5.0, 5.0]", r"pet_window_suv must ascend, found \[5.0, 5"),
        (
            "seed = 5",
            'task = "contouring"',
            r"Input should be 'segmentation', 'classification', 'survival' or 'fusion'",
        ),
        ("seed = 5", 'task = "survival"', r"task 'survival' needs \[labels.endpoints.NAME\]"),
        ('["ct"]', '["ct", "ehr"]', r"center\(s\) \['center-d'\] offer EHR, but the study describes no covariate"),
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
    with pytest.raises(StudyError, match=f"study file {tmp_path} cannot be read: it is no regular file"):
        read_study(tmp_path)


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StudyError, match=r"study.toml is not valid TOML: it is not UTF-8"):
        read_study(tmp_path / "study.toml")


def test_a_stage_trains_what_its_kind_trains(study: Study) -> None:
    pretrain, adapt, arrive = (study.training_in(stage, 0) for stage in study.stages)
    assert (pretrain.groups, adapt.groups, arrive.groups) == (("backbone",), ("pet", "fusion", "peft"), ("peft",))
    assert pretrain.modality_shares == {"ct": 1.0}
    assert adapt.modality_shares == arrive.modality_shares == {"ct+pet": 0.6, "ct": 0.2, "pet": 0.2}


def test_what_a_stage_says_replaces_what_its_kind_says(tmp_path: Path) -> None:
    changed = 'kind = "arrive"\ngroups = ["pet"]\nmodality_shares = { pet = 1.0 }'
    study = read(tmp_path, STUDY.replace('kind = "arrive"', changed))
    training = study.training_in(study.stages[2], 0)
    assert (training.groups, training.modality_shares) == (("pet",), {"pet": 1.0})


def test_the_rate_falls_along_half_a_cosine(tmp_path: Path) -> None:
    """4 rounds from 1e-3: (1 + cos(k pi / 4)) / 2 for k = 0, 1, 2, 3."""
    study = read(tmp_path, STUDY.replace("rounds = 2", "rounds = 4", 1))
    rates = [study.training_in(study.stages[0], completed).learning_rate for completed in range(4)]
    assert rates == pytest.approx([1e-3, 8.5355339e-4, 5e-4, 1.4644661e-4])


def with_strategy(table: str, stage: str = "") -> str:
    """The small study with a strategy, and with more keys in its last stage."""
    text = STUDY.replace("[centers.center-a]", f"{table}\n[centers.center-a]")
    return text.replace('kind = "arrive"', f'kind = "arrive"\n{stage}')


def test_personal_rounds_come_before_and_after_the_shared_ones(tmp_path: Path) -> None:
    """Center d is no newcomer to the adapters in the last stage, so nobody takes part in its warm-up."""
    study = read(tmp_path, with_strategy('[strategy]\npersonal = ["center"]', "warm_up_rounds = 1\nsettle_rounds = 1"))
    stage = study.stages[2]
    assert [study.training_in(stage, completed).groups for completed in range(stage.all_rounds)] == [
        ("center",),
        ("peft",),
        ("center",),
    ]
    assert [study.takes_part(stage, completed) for completed in range(3)] == [(), ("center-d",), ("center-d",)]
    assert study.steps_by_center() == {"center-a": 4 + 8, "center-d": 4 + 8 + 4}


def test_the_alternating_scheme_trains_b_first(study: Study) -> None:
    """B starts at zero: in a phase A first nothing could move."""
    adapt = study.stages[1]
    assert [study.training_in(adapt, completed).roles for completed in range(2)] == [
        ("lora_b", "magnitude"),
        ("lora_a",),
    ]


def test_a_backbone_is_averaged_whatever_the_strategy(study: Study) -> None:
    assert [study.scheme_name(stage) for stage in study.stages] == ["fedit", "alt-exact", "alt-exact"]


@pytest.mark.parametrize(("asked", "quorum"), [(1, 1), (2, 2), (3, 2), (5, 3), (8, 4)])
def test_half_of_the_centers_and_two_are_the_quorum(study: Study, asked: int, quorum: int) -> None:
    assert study.quorum_of(asked) == quorum


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (with_strategy("", "settle_rounds = 1"), "strategy.personal names nothing to train in them"),
        (
            with_strategy('[strategy.aggregation]\nscheme = "product-exact"\nserver_optimiser = { name = "fedadam" }'),
            "'product-exact' re-factors; use one of",
        ),
        (STUDY.replace("[centers.center-a]", "[centers.center-a]\nrank = 1"), "'alt-exact' cannot combine"),
        (STUDY.replace("center-a", "routed"), r"center name\(s\) \['routed'\] cannot be used"),
        (with_strategy("[strategy.gate]\ntolerance = -1"), r"strategy\.gate\.Gate\.tolerance"),
        (
            with_strategy('[strategy.terms]\nscaffold = true\n[strategy.aggregation]\nscheme = "flora"'),
            r"local term\(s\) \['scaffold'\] compare factors from round to round, but 'flora' turns",
        ),
        (
            with_strategy('[strategy.aggregation]\nscheme = "flora"', "").replace(
                "[centers.center-a]", '[training]\noptimiser = "kept"\n[centers.center-a]'
            ),
            r"\[training\] optimiser 'kept' goes on with moments of the factors' entries, but 'flora' turns",
        ),
        (STUDY.replace("[centers.center-a]", "[split]\nvalidation = 0\n[centers.center-a]"), "split.validation is 0"),
        (
            with_strategy("[strategy.terms]\nproximal = nan"),
            "strategy.terms: .*proximal: Input should be a finite number",
        ),
        (
            with_strategy("[strategy.terms]\nfedmagic = 1"),
            r"'fedmagic' is no local term; known: \[.*'proximal'",
        ),
    ],
)
def test_a_strategy_that_cannot_be_followed_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(StudyError, match=message):
        read(tmp_path, text)


def test_what_travels_holds_no_center_and_no_stage(study: Study) -> None:
    assert study.settings.study == "small"
    assert set(study.settings.model_dump()) == {
        *("study", "seed", "model", "adapter", "preprocessing", "split", "tasks", "labels", "prediction"),
        *("personal", "center_rank", "sketch_rank"),
    }


LABELS = """
[labels.endpoints.death]
event = "died"
time = "followed"
unit = "months"
[labels.survival]
head = "cox"
"""


def test_a_stage_has_the_task_of_the_study_unless_it_names_one(tmp_path: Path) -> None:
    text = STUDY.replace("seed = 5", 'seed = 5\ntask = "survival"').replace(
        "[centers.center-a]", LABELS + "[centers.center-a]"
    )
    study = read(tmp_path, text.replace('kind = "pretrain"', 'kind = "pretrain"\ntask = "segmentation"'))
    assert [stage.task for stage in study.stages] == ["segmentation", "survival", "survival"]
    assert study.settings.tasks == ("segmentation", "survival")
    assert study.settings.labels.endpoints["death"].time == "followed"
    assert study.stages[1].trained == ("pet", "fusion", "peft", "ehr", "head")


def test_a_center_may_have_some_rows_of_a_table_that_several_share(tmp_path: Path) -> None:
    study = read(tmp_path, STUDY.replace("[centers.center-a]", '[centers.center-a]\nrows = { center = "HGJ" }'))
    assert (study.centers["center-a"].rows, study.centers["center-d"].rows) == ({"center": "HGJ"}, {})


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_study_of_the_repository_can_be_run(path: Path) -> None:
    found = read_study(path)
    groups = {kind_of(spec.group) for spec in study_specs(found.settings.model_dump_json())}
    assert all(set(stage.trained) & groups for stage in found.stages)
    assert {group for stage in found.stages for group in stage.trained} <= groups | {EHR, PET, FUSION, PEFT}
    assert {found.scheme_name(stage) for stage in found.stages} <= set(SCHEMES)
    assert any(center.evaluated for center in found.centers.values())
    assert found.synthetic == (path.stem.startswith("demo") or "phantom" in path.stem)


def test_the_repository_has_studies() -> None:
    assert {"demo", "sts"} <= {path.stem for path in FILES}


PRIVACY = "\n[privacy]\nepsilon = 8\ndelta = 1e-3\nclip_norm = {}\n"


def test_what_a_study_promises_its_patients_travels_to_the_centers(tmp_path: Path) -> None:
    found = read(tmp_path, STUDY + PRIVACY.format(0.5)).settings.privacy
    assert found is not None
    assert (found.epsilon, found.delta, found.clip_norm, found.crops) == (8, 1e-3, 0.5, 1)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            PRIVACY.format("{ peft = 1.0 }"),
            r"write privacy\.clip_norm\.backbone, .*privacy\.clip_norm\.pet, or one number",
        ),
        (PRIVACY.format(1) + "\n[strategy.terms]\nditto = 0.1\n", "local term 'ditto' takes gradients of several"),
        (
            PRIVACY.format(1) + '\n[strategy.aggregation]\nscheme = "lorm"\n',
            r"scheme 'lorm' stands on gram of patients who train",
        ),
        (PRIVACY.format(1) + "\n[strategy]\nrouter = true\n", "router gathers features of patients who trained"),
        (
            PRIVACY.format(1).replace("= 8", "= inf"),
            r"privacy\.epsilon: Value error, found inf; write a number above 0",
        ),
        (PRIVACY.format(1).replace("= 1e-3", "= 1"), r"privacy\.delta: Value error, found 1; write a probability"),
    ],
)
def test_a_promise_that_cannot_be_kept_is_refused_by_name(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(StudyError, match=told):
        read(tmp_path, STUDY + text)
