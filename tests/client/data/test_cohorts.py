"""Which of a manifest's cases enter figures, and that this outlives the program that first said so."""

from collections.abc import Iterable
from pathlib import Path

from client.data.block_file import BLOCKS
from client.data.cohorts import Cohorts, unit_of
from client.data.manifest import Case, Manifest
from protocol.messages.instruction import Part

CT = {"ct": Path("ct.nii.gz"), "gtv": Path("gtv.nii.gz")}


def case(name: str, *, pet: bool = False) -> Case:
    paths = {**CT, "pet": Path("pet.nii.gz")} if pet else CT
    return Case(name, name, "folder", paths, {}, {})  # type: ignore[arg-type]  # literal keys


def manifest(cases: Iterable[Case]) -> Manifest:
    return Manifest("north", tuple(cases))


def split(names: Iterable[str], part: Part = "test") -> dict[str, Part]:
    return dict.fromkeys(names, part)


FIVE = [case(f"p{number}") for number in range(5)]
SIX = [*FIVE, case("p5")]


def test_a_sixth_case_stays_out_also_after_a_restart(tmp_path: Path) -> None:
    names = [found.name for found in FIVE]
    assert Cohorts(tmp_path, 5).of(manifest(FIVE), split(names)).keep(names) == set(names)
    again = Cohorts(tmp_path, 5).of(manifest(SIX), split([*names, "p5"]))
    assert again.keep([*names, "p5"]) == set(names)


def test_a_moved_folder_is_the_same_data_set(tmp_path: Path) -> None:
    """Cases are known by name and patient: paths say nothing."""
    names = [found.name for found in FIVE]
    before = Cohorts(tmp_path, 5).of(manifest(FIVE), split(names))
    moved = [Case(found.name, found.patient, "elsewhere", found.paths, {}, {}) for found in FIVE]
    assert Cohorts(tmp_path, 5).of(manifest(moved), split(names)).digest == before.digest


def test_another_study_whose_split_parts_a_block_has_no_figure_of_it(tmp_path: Path) -> None:
    names = [found.name for found in FIVE]
    Cohorts(tmp_path, 5).of(manifest(FIVE), split(names))
    parted = split(names[:4]) | split(names[4:], "train")
    other = Cohorts(tmp_path, 5).of(manifest(FIVE), parted)
    assert other.keep([name for name, part in parted.items() if part == "test"]) == frozenset()


def test_a_case_that_gains_a_pet_changes_no_cohort_until_all_of_its_block_have_one(tmp_path: Path) -> None:
    names = [found.name for found in FIVE]
    before = Cohorts(tmp_path, 5).of(manifest(FIVE), split(names))
    with_pet = [case("p0", pet=True), *FIVE[1:]]
    after = Cohorts(tmp_path, 5).of(manifest(with_pet), split(names))
    assert after.digest == before.digest
    assert after.keep(["p0"]) == frozenset()


def test_a_patients_name_taken_by_another_is_another_case(tmp_path: Path) -> None:
    names = [found.name for found in FIVE]
    Cohorts(tmp_path, 5).of(manifest(FIVE), split(names))
    other = Case("p0", "somebody-else", "folder", FIVE[0].paths, {}, {})
    assert Cohorts(tmp_path, 5).of(manifest([other, *FIVE[1:]]), split(names)).keep(names) == frozenset()


def test_a_center_that_sends_from_one_case_on_keeps_no_blocks(tmp_path: Path) -> None:
    found = Cohorts(tmp_path, 1).of(manifest(FIVE), split(["p0", "p1"]))
    assert found.keep(["p0"]) == {"p0"}
    assert found.digest != Cohorts(tmp_path, 1).of(manifest(FIVE), split(["p0"])).digest
    assert not (tmp_path / BLOCKS).exists()


def test_a_case_is_known_by_part_modalities_and_targets() -> None:
    targets = {"target:segmentation", "target:fusion"}
    assert unit_of(case("p", pet=True), "train").qualities == {"part:train", "ct", "pet", *targets}
