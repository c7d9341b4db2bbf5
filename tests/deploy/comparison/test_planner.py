"""The benchmark file: which studies it stands for, and that each mistake in it is named."""

import tomllib
from pathlib import Path

import pytest

from deploy.comparison.outcomes import Missing
from deploy.comparison.planner import Plan, lay_over, read_plan
from deploy.comparison.rows import opening_sentences
from deploy.comparison.table import build_table
from protocol.errors import StudyError
from protocol.messages.settings import Split
from server.study.file import Study
from tests.support.small_benchmark import BENCHMARK, SCHEDULES, write_benchmark

SECOND_ORDER = 'forward = ["center-a", "center-b"]\nreverse = ["center-b", "center-a"]'


def read(folder: Path, text: str = BENCHMARK) -> Plan:
    return read_plan(write_benchmark(folder / "benchmark.toml", text))


def test_all_arms_of_a_seed_come_before_the_next_seed(tmp_path: Path) -> None:
    names = [run.name for run in read(tmp_path).runs]
    assert names == ["together/forward/1", "in-turn/forward/1", "together/forward/2", "in-turn/forward/2"]


def test_positions_are_names_of_the_order(tmp_path: Path) -> None:
    text = BENCHMARK.replace('forward = ["center-a", "center-b"]', SECOND_ORDER)
    text = text.replace('schedule = "sequence"\norders = ["forward"]', 'schedule = "sequence"\norders = ["reverse"]')
    stages = {run.order: [stage.centers for stage in run.study.stages] for run in read(tmp_path, text).runs}
    assert stages == {"forward": [("center-a", "center-b")], "reverse": [("center-b",), ("center-a",)]}


FOLDS = BENCHMARK.replace("seeds = [1, 2]", "seeds = [1, 2]\nfolds = 3")


def test_all_arms_of_a_fold_come_before_the_next_fold_and_all_folds_before_the_next_seed(tmp_path: Path) -> None:
    names = [run.name for run in read(tmp_path, FOLDS).runs]
    assert names[:3] == ["together/forward/fold-1/1", "in-turn/forward/fold-1/1", "together/forward/fold-2/1"]
    assert [name.rpartition("/")[2] for name in names] == ["1"] * 6 + ["2"] * 6


def test_each_fold_is_an_ordinary_study_with_a_backbone_of_its_own(tmp_path: Path) -> None:
    plan = read(tmp_path, FOLDS)
    splits = [(run.study.split.fold, run.study.split.folds, run.study.split.seed) for run in plan.runs[::2]]
    assert splits == [(1, 3, 3), (2, 3, 3), (3, 3, 3)] * 2
    backbones = {fold: Study.model_validate(tomllib.loads(text)).split for fold, text in plan.backbones.items()}
    assert backbones == {fold: Split(fold=fold, folds=3, seed=3) for fold in (1, 2, 3)}


def test_without_folds_studies_are_those_of_earlier_versions(tmp_path: Path) -> None:
    run = read(tmp_path).runs[0]
    assert run.table["name"] == "small together forward 1"
    assert run.table["split"] == {"seed": 3}


def test_runs_share_one_split_and_differ_in_seed(tmp_path: Path) -> None:
    plan = read(tmp_path)
    assert {(run.study.seed, run.study.split.seed) for run in plan.runs} == {(1, 3), (2, 3)}
    assert plan.backbone is not None
    assert (plan.backbone.seed, plan.backbone.split.seed) == (5, 3)


def test_an_arm_lays_its_strategy_over_the_benchmarks_own(tmp_path: Path) -> None:
    text = BENCHMARK.replace("[study.split]", "[study.strategy]\ndecay = 0.5\n[study.split]")
    strategies = {run.arm: run.study.strategy for run in read(tmp_path, text).runs}
    assert {(name, s.aggregation.scheme, s.decay) for name, s in strategies.items()} == {
        ("together", "alt-exact", 0.5),
        ("in-turn", "fedit", 0.5),
    }


def test_tables_merge_and_everything_else_is_replaced() -> None:
    table = {"a": {"b": 1, "c": [1, 2]}, "d": 3}
    assert lay_over(table, {"a": {"c": [4]}, "e": 5}) == {"a": {"b": 1, "c": [4]}, "d": 3, "e": 5}
    assert table == {"a": {"b": 1, "c": [1, 2]}, "d": 3}


def test_a_model_of_another_name_does_not_inherit_options() -> None:
    table = {"model": {"name": "one", "options": {"depth": 2}}}
    assert lay_over(table, {"model": {"options": {"width": 3}}})["model"]["options"] == {"depth": 2, "width": 3}
    assert lay_over(table, {"model": {"name": "one"}}) == table
    assert lay_over(table, {"model": {"name": "other"}}) == {"model": {"name": "other"}}


def test_another_backbone_is_another_study(tmp_path: Path) -> None:
    run = read(tmp_path).runs[0]
    assert run.text("a" * 64) != run.text("b" * 64)
    assert run.text("a" * 64).endswith(run.text("b" * 64).partition("\n")[2])


def test_unequal_local_steps_are_refused_with_the_steps_of_every_arm(tmp_path: Path) -> None:
    """Two centers x 2 rounds x 2 steps = 8; 2 x 3 x 2 = 12; the backbone's 2 beside both."""
    text = BENCHMARK.replace("rounds = 2\nlocal_steps = 2", "rounds = 3\nlocal_steps = 2", 1)
    with pytest.raises(
        StudyError, match=r"2 of the backbone included.*together, order forward: 14; in-turn, order forward: 10"
    ):
        read(tmp_path, text)


def test_an_arm_that_starts_from_nothing_takes_the_steps_of_the_backbone_too(tmp_path: Path) -> None:
    """2 x 2 steps each in `first` and `second`, and one step more in both: 10 = 8 + the 2 of the backbone."""
    own = BENCHMARK.replace('label = "one after the other"', 'label = "one after the other"\nstarts_from = "nothing"')
    with pytest.raises(StudyError, match=r"together, order forward: 10; in-turn, order forward: 8"):
        read(tmp_path, own)
    longer = SCHEDULES.partition('name = "second"')
    text = own.replace(longer[2], longer[2].replace("rounds = 2", "rounds = 3"))
    plan = read(tmp_path, text)
    assert [(run.arm, run.on_backbone) for run in plan.runs[:2]] == [("together", True), ("in-turn", False)]
    table = build_table(plan, [Missing(run, "not run yet") for run in plan.runs], draws=20)
    assert table["local_steps"] == 8
    assert any("one after the other" in sentence for sentence in opening_sentences(table))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seeds = [1, 2]", "seeds = [1, 2]\nsedes = 1", r"sedes: Extra inputs are not permitted"),
        ("seeds = [1, 2]", "seeds = [1, 1]", r"seeds: all must differ, found \[1, 1\]"),
        ("seeds = [1, 2]", "seeds = []", r"seeds: .*at least 1 item"),
        ('name = "in-turn"', 'name = "together"', r"arms: all must differ"),
        ('name = "in-turn"', 'name = "in/turn"', r"arms: \['in/turn'\] cannot be folder names"),
        ('default = "together"', 'default = "alone"', r"references.default: arm 'alone' does not exist"),
        ('default = "together"', 'default = "together"\nupper = "together"', r"one arm cannot have two"),
        ('schedule = "sequence"\no', 'schedule = "seq"\no', r"arms.in-turn.schedule: 'seq' does not exist"),
        ('orders = ["forward"]', 'orders = ["back"]', r"arms.together.orders: \['back'\] do not exist"),
        ("centers = [1, 2]", "centers = [1, 3]", r"together, order forward: stages.0.centers.1: .*valid string"),
        ("centers = [1, 2]", "centers = [0]", r"together, order forward: stages.0.centers.0: .*valid string"),
        ('scheme = "fedit"', 'scheme = "fedot"', r"in-turn, order forward: .*'fedot'; known"),
        ('scheme = "fedit"', 'skeme = "fedit"', r"in-turn, order forward: strategy.aggregation.skeme: Extra"),
        ("[study.split]\nseed = 3", "", r"study.split.seed: is missing"),
        ("[study]\n", '[study]\ntitle = "x"\n', r"study: \['title'\] belong to the benchmark"),
        ('kind = "pretrain"', 'kind = "adapt"', r"backbone: all of its stages must be of kind 'pretrain'"),
        ('kind = "adapt"', 'kind = "pretrain"', r"none of its stages must be of kind 'pretrain'"),
        ("seeds = [1, 2]", 'seeds = [1, 2]\nbackbone_file = "x"', r"either \[\[backbone\]\] stages or backbone_file"),
        ("seeds = [1, 2]", "seeds = [1, 2", r"is not valid TOML"),
        ("seeds = [1, 2]", "seeds = [1, 2]\nfolds = 1", r"folds: 1 leaves nobody to train on"),
        ("[study.split]", "[study.split]\nfold = 1", r"study.split: \['fold'\] belong to the benchmark's own folds"),
        (
            "seeds = [1, 2]",
            'seeds = [1, 2]\n[endpoint]\nmetric = "hd95"\nsetting = "ct+pet"',
            r"endpoint.metric: 'hd95' is not what arms are compared by; the primary metric of segmentation is 'dice'",
        ),
    ],
)
def test_a_mistake_is_named(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert old in BENCHMARK
    with pytest.raises(StudyError, match=message):
        read(tmp_path, BENCHMARK.replace(old, new, 1))


def test_scores_that_leave_summed_compare_no_centers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.comparison.planner.sums_scores", lambda _secure: True)
    with pytest.raises(StudyError, match="'summed', and a benchmark compares centers"):
        read(tmp_path)


def test_all_findings_are_listed(tmp_path: Path) -> None:
    text = BENCHMARK.replace("[1, 2]\n\n[ref", "[1, 1]\n\n[ref").replace('default = "together"', 'default = "alone"')
    with pytest.raises(StudyError, match=r"2 problem\(s\)"):
        read(tmp_path, text)


def test_arms_are_scored_at_the_same_centers(tmp_path: Path) -> None:
    text = BENCHMARK + "[arms.study.centers.center-b]\nevaluated = false\n"
    with pytest.raises(StudyError, match="scored at different centers"):
        read(tmp_path, text)


def test_arms_begin_with_the_same_task(tmp_path: Path) -> None:
    text = BENCHMARK + '[arms.study]\ntask = "classification"\n[arms.study.labels.classes]\ncolumn = "grade"\n'
    found = r"must begin with the same: {'together': 'segmentation', 'in-turn': 'classification'}"
    with pytest.raises(StudyError, match=found):
        read(tmp_path, text)


RECORDS_ALONE = """
[study.labels.endpoints.death]
event = "event"
time = "days"
unit = "days"
[study.labels.covariates]
age = { kind = "number", unit = "years", minimum = 18, maximum = 110, mean = 63, standard_deviation = 15 }
[study.labels.survival]
head = "cox"
[study.centers.center-a]
modalities = ["ehr"]
[study.centers.center-b]
modalities = ["ehr"]
"""


RECORDS = ("[study.centers.center-a]\n[study.centers.center-b]\n", RECORDS_ALONE)


def test_networks_of_records_alone_stand_on_no_backbone(tmp_path: Path) -> None:
    head, rest = BENCHMARK.split("[[backbone]]")
    images = head + SCHEDULES + rest[rest.index("[[arms]]") :]
    with pytest.raises(StudyError, match="only centers that offer EHR alone need none"):
        read(tmp_path, images)
    text = images.replace("[study]\n", '[study]\ntask = "survival"\n')
    plan = read(tmp_path, text.replace(*RECORDS))
    assert (plan.backbone, plan.backbone_file, plan.runs[0].study.tasks) == (None, None, ("survival",))
    with pytest.raises(StudyError, match="folds: concordance is a figure of a cohort"):
        read(tmp_path, text.replace("seeds = [1, 2]", "seeds = [1, 2]\nfolds = 2").replace(*RECORDS))
    table = build_table(plan, [Missing(run, "not run yet") for run in plan.runs], draws=20)
    assert (table["backbones"], table["metric"]) == ({"0": "none"}, "concordance")
    assert any(sentence.endswith("summed over centers.") for sentence in opening_sentences(table))


def test_a_backbone_file_stands_beside_the_benchmark_file(tmp_path: Path) -> None:
    head, rest = BENCHMARK.split("[[backbone]]")
    text = head.replace("seeds = [1, 2]", 'seeds = [1, 2]\nbackbone_file = "ct.safetensors"')
    plan = read(tmp_path, text + SCHEDULES + rest[rest.index("[[arms]]") :])
    assert (plan.backbone, plan.backbone_file) == (None, tmp_path / "ct.safetensors")


def test_a_file_that_is_not_there_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"none.toml cannot be read: No such file"):
        read_plan(tmp_path / "none.toml")


@pytest.mark.parametrize("name", ["sts-arms", "sts", "sts-pemma", "sts-pemma-swin", "sts-vmambax"])
def test_every_benchmark_of_the_repository_can_be_run(repository: Path, name: str) -> None:
    plan = read_plan(repository / "studies" / f"{name}-benchmark.toml")
    assert plan.backbone is not None
    assert all(run.study.settings for run in plan.runs)


def test_the_models_compared_take_equal_steps_of_the_same_cases(repository: Path) -> None:
    first, second = (read_plan(repository / "studies" / f"sts-{name}-benchmark.toml") for name in ("vmambax", "pemma"))
    for one, other in ((first.backbone, second.backbone), (first.runs[0].study, second.runs[0].study)):
        assert one is not None
        assert other is not None
        assert one.steps_by_center() == other.steps_by_center()
        assert one.split == other.split
        assert one.preprocessing.spacing_zyx_mm == other.preprocessing.spacing_zyx_mm


def test_the_benchmark_of_the_repository_has_the_arms_that_the_results_need(repository: Path) -> None:
    """The default over two orders, three seeds at least, five folds, both bounds, and two questions beforehand."""
    plan = read_plan(repository / "studies" / "sts-benchmark.toml")
    orders = {arm.name: len(arm.orders) for arm in plan.benchmark.arms}
    assert {"fedit", "alt-exact", "product-exact", "pooled", "local-only"} < set(orders)
    assert (orders["default"], orders["sequential"]) == (2, 1)
    assert plan.benchmark.folds == 5
    assert [(asked.b, asked.kind) for asked in plan.benchmark.contrasts] == [
        ("pooled-early-fusion", "non-inferiority"),
        ("local-only", "superiority"),
    ]
    assert len(plan.benchmark.seeds) >= 3
    assert plan.benchmark.references.model_dump() == {"default": "default", "upper": "pooled", "lower": "local-only"}
