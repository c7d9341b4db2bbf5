"""The split: seeded, per patient, independent of order, fixed for the study."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.data.checks import Issue
from client.data.labels import CaseLabels
from client.data.manifest import Case, File, Manifest
from client.data.split import fold_of, parts, split_of
from protocol.messages.settings import Split
from protocol.tasks import TaskName

PATIENTS = st.lists(st.text("abc123", min_size=1, max_size=6), min_size=1, max_size=40, unique=True)
SHARES = st.floats(0.01, 1.0)


def _case(name: str, *, folder: str = "a", patient: str = "", fatal: bool = False, mask: bool = True) -> Case:
    files: tuple[File, ...] = ("ct", "gtv") if mask else ("ct",)
    issues = (Issue("constant", name, "broken", "error"),) if fatal else ()
    paths = {file: Path(name) / f"{file}.nii.gz" for file in files}
    return Case(name, patient or name, folder, paths, grids={}, checksums={}, issues=issues)


def _manifest(*cases: Case) -> Manifest:
    return Manifest("a", cases)


@pytest.mark.parametrize(
    ("patients", "expected"),
    [
        (1, {"train": 1}),
        (2, {"train": 1, "test": 1}),
        (3, {"train": 1, "validation": 1, "test": 1}),
        (6, {"train": 4, "validation": 1, "test": 1}),
        (10, {"train": 6, "validation": 2, "test": 2}),
        (12, {"train": 8, "validation": 2, "test": 2}),
    ],
)
def test_sizes_for_the_default_shares(patients, expected):
    drawn = split_of([str(n) for n in range(patients)], seed=0, validation=0.16, test=0.2)
    assert Counter(drawn.values()) == expected


@pytest.mark.parametrize(("patients", "share", "tests"), [(10, 0.25, 3), (50, 0.29, 15), (10, 0.24, 2), (10, 0.0, 0)])
def test_a_half_patient_is_rounded_up(patients, share, tests):
    drawn = split_of([str(n) for n in range(patients)], seed=0, validation=0.0, test=share)
    assert Counter(drawn.values())["test"] == tests


@given(PATIENTS, st.integers(0, 9), SHARES, SHARES, st.randoms())
def test_the_order_of_patients_does_not_matter(patients, seed, validation, test, random):
    shuffled = random.sample(patients, len(patients))
    drawn = split_of(patients, seed=seed, validation=validation, test=test)
    assert drawn == split_of(shuffled + patients, seed=seed, validation=validation, test=test)


@given(PATIENTS, st.integers(0, 9), SHARES, SHARES)
def test_every_patient_has_one_part_and_no_part_is_empty(patients, seed, validation, test):
    drawn = split_of(patients, seed=seed, validation=validation, test=test)
    counts = Counter(drawn.values())
    assert set(drawn) == set(patients)
    assert counts["train"] >= 1
    assert counts["test"] >= (len(patients) >= 2)
    assert counts["validation"] >= (len(patients) >= 3)


def test_another_seed_draws_another_split():
    patients = [str(n) for n in range(40)]
    first, second = (split_of(patients, seed=seed, validation=0.16, test=0.2) for seed in (0, 1))
    assert first != second


def test_a_pooled_center_gives_every_patient_the_part_of_its_own_center():
    a = [_case(f"a{n}", folder="a") for n in range(12)]
    b = [_case(f"b{n}", folder="b") for n in range(6)]
    alone = {
        **parts(_manifest(*a), seed=3, split=Split()),
        **parts(_manifest(*b), seed=3, split=Split()),
    }
    assert len(alone) == 18
    assert parts(_manifest(*b, *a), seed=3, split=Split()) == alone


def test_a_case_that_breaks_moves_no_other_case():
    cases = [_case(f"a{n}") for n in range(12)]
    whole = dict(parts(_manifest(*cases), seed=0, split=Split()))
    broken = [_case("a0", fatal=True), *cases[1:]]
    del whole["a0"]
    assert parts(_manifest(*broken), seed=0, split=Split()) == whole


def test_a_case_without_a_mask_has_no_part():
    drawn = parts(_manifest(_case("a"), _case("b"), _case("c", mask=False)), seed=0, split=Split())
    assert sorted(drawn) == ["a", "b"]


def test_two_cases_of_one_patient_share_their_part():
    for seed in range(20):
        cases = [_case("visit1", patient="p"), _case("visit2", patient="p"), _case("x"), _case("y")]
        drawn = parts(_manifest(*cases), seed=seed, split=Split())
        assert drawn["visit1"] == drawn["visit2"]


def _labelled(name: str, labels: CaseLabels, *, folder: str = "a", patient: str = "") -> Case:
    return Case(name, patient or name, folder, {}, {}, {}, labels=labels)


def _by_class(counts: Mapping[int, int], folder: str = "a") -> list[Case]:
    return [
        _labelled(f"{folder}-{index}-{n}", CaseLabels(class_index=index), folder=folder)
        for index, count in counts.items()
        for n in range(count)
    ]


def test_a_study_of_segmentation_splits_as_it_always_did():
    drawn = parts(_manifest(*(_case(f"p{n}") for n in range(8))), seed=5, split=Split())
    others = {"p3": "test", "p4": "test", "p6": "validation"}
    assert drawn == {f"p{n}": others.get(f"p{n}", "train") for n in range(8)}


@given(PATIENTS, st.integers(0, 9), SHARES, SHARES)
def test_one_stratum_alone_changes_nothing(patients, seed, validation, test):
    drawn = split_of(patients, seed=seed, validation=validation, test=test)
    assert split_of(patients, seed=seed, validation=validation, test=test, strata=dict.fromkeys(patients, 1)) == drawn


@pytest.mark.parametrize("seed", range(5))
def test_each_part_has_its_share_of_each_class(seed):
    drawn = parts(_manifest(*_by_class({0: 20, 1: 5})), seed=seed, split=Split(), tasks=("classification",))
    assert Counter((name[2], part) for name, part in drawn.items()) == {
        ("0", "train"): 13,
        ("0", "validation"): 3,
        ("0", "test"): 4,
        ("1", "train"): 3,
        ("1", "validation"): 1,
        ("1", "test"): 1,
    }


@given(st.lists(st.integers(0, 2), min_size=1, max_size=40), st.integers(0, 9))
def test_strata_leave_the_sizes_as_they_are(strata, seed):
    patients = {str(n): stratum for n, stratum in enumerate(strata)}
    drawn = split_of(patients, seed=seed, validation=0.16, test=0.2, strata=patients)
    assert Counter(drawn.values()) == Counter(split_of(patients, seed=seed, validation=0.16, test=0.2).values())


def test_the_only_patient_of_a_class_trains():
    for seed in range(10):
        drawn = parts(_manifest(*_by_class({0: 9, 1: 1})), seed=seed, split=Split(), tasks=("classification",))
        assert drawn["a-1-0"] == "train"


def test_survival_splits_by_the_event_of_the_first_endpoint():
    cases = [_labelled(f"{n}", CaseLabels(endpoints=((9.0, int(n < 5)), (9.0, n % 2)))) for n in range(15)]
    for seed in range(5):
        drawn = parts(_manifest(*cases), seed=seed, split=Split(), tasks=("survival",))
        counts = Counter(part for name, part in drawn.items() if int(name) < 5)
        assert counts == {"train": 3, "validation": 1, "test": 1}


def test_the_last_task_with_strata_decides():
    cases = [_labelled(f"{n}", CaseLabels(int(n < 5), ((9.0, n % 2),))) for n in range(15)]

    def drawn(*tasks: TaskName) -> Mapping[str, str]:
        return parts(_manifest(*cases), seed=3, split=Split(), tasks=tasks)

    assert drawn("classification", "segmentation") == drawn("survival", "classification") == drawn("classification")
    assert drawn("classification", "survival") == drawn("survival") != drawn("classification")


def test_a_case_with_the_target_of_any_task_has_a_part():
    cases = [_case("mask"), _labelled("class", CaseLabels(class_index=0)), _case("neither", mask=False)]
    drawn = parts(_manifest(*cases), seed=0, split=Split(), tasks=("segmentation", "classification"))
    assert sorted(drawn) == ["class", "mask"]


def test_two_cases_of_one_patient_are_one_of_the_higher_class():
    of_p = [_labelled(name, CaseLabels(index), patient="p") for name, index in (("first", 0), ("later", 1))]
    cases = [*of_p, *_by_class({0: 9})]
    for seed in range(10):
        drawn = parts(_manifest(*cases), seed=seed, split=Split(), tasks=("classification",))
        assert drawn["first"] == drawn["later"] == "train"


def test_a_pooled_center_of_a_shared_table_splits_as_its_parts_do():
    x, y = _by_class({0: 7, 1: 3}, "t/x"), _by_class({0: 5, 1: 5}, "t/y")
    alone = {**_parts_of_classes(*x), **_parts_of_classes(*y)}
    assert _parts_of_classes(*y, *x) == alone


def _parts_of_classes(*cases: Case) -> dict[str, str]:
    return dict(parts(_manifest(*cases), seed=1, split=Split(), tasks=("classification",)))


def fold(patients, number, *, folds=5, strata=None, seed=0):
    return fold_of(patients, seed=seed, validation=0.2, fold=number, folds=folds, strata=strata or {})


def members(drawn, part):
    return {patient for patient, own in drawn.items() if own == part}


@given(st.lists(st.text("abc123", min_size=1, max_size=6), min_size=2, max_size=40, unique=True), st.integers(2, 7))
def test_every_patient_tests_in_exactly_one_fold_and_somebody_trains_in_each(patients, folds):
    drawn = [fold(patients, number, folds=folds) for number in range(1, folds + 1)]
    tested = [patient for found in drawn for patient in members(found, "test")]
    assert sorted(tested) == sorted(patients)
    sizes = [len(members(found, "test")) for found in drawn]
    assert max(sizes) - min(sizes) <= 1
    assert all(members(found, "train") and set(found) == set(patients) for found in drawn)


@pytest.mark.parametrize(
    ("patients", "tests"),
    [(12, [2, 3, 2, 3, 2]), (6, [1, 1, 2, 1, 1]), (9, [2, 2, 1, 2, 2]), (10, [2, 2, 2, 2, 2]), (3, [1, 0, 1, 0, 1])],
)
def test_five_folds_of_small_centers(patients, tests):
    """Of 6 patients the borders stand at 1.2, 2.4, 3.6, 4.8 and 6, rounded."""
    names = [str(n) for n in range(patients)]
    drawn = [fold(names, number) for number in range(1, 6)]
    assert [len(members(found, "test")) for found in drawn] == tests
    assert all(members(found, "validation") for found in drawn)


def test_each_fold_holds_its_share_of_a_stratum():
    """5 of 20 patients have the event: one tests in each of five folds."""
    names = [f"{n:02d}" for n in range(20)]
    strata = {name: int(int(name) < 5) for name in names}
    drawn = [fold(names, number, strata=strata) for number in range(1, 6)]
    assert [sum(strata[name] for name in members(found, "test")) for found in drawn] == [1] * 5


def test_folds_do_not_depend_on_listing_order_and_do_on_the_seed():
    names = [f"{n:02d}" for n in range(20)]
    assert fold(names[::-1], 2) == fold(names, 2) != fold(names, 2, seed=1)


def test_a_single_patient_trains_in_every_fold():
    assert [fold(["p"], number) for number in (1, 2)] == [{"p": "train"}] * 2


def test_the_first_of_five_folds_tests_whom_a_share_of_a_fifth_tests():
    names = [str(n) for n in range(12)]
    assert fold(names, 1) == split_of(names, seed=0, validation=0.2, test=0.2)


def test_folds_are_drawn_in_each_folder_alone():
    a, b = ([_case(f"{folder}{n}", folder=folder) for n in range(6)] for folder in "ab")
    pooled = parts(_manifest(*a, *b), seed=3, split=Split(fold=2, folds=3))
    assert {name: pooled[name] for name in pooled if name[0] == "b"} == parts(
        _manifest(*b), seed=3, split=Split(fold=2, folds=3)
    )
    assert Counter(pooled.values())["test"] == 4
