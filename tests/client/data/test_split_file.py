"""A split is drawn once: who comes later trains, and nobody changes his part."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from client.data.manifest import Case, File, Manifest
from client.data.split_file import draw_parts_once, fixed_parts
from protocol.errors import CaseError
from protocol.messages.settings import Model, Split, StudySettings
from protocol.storage.sealed_json import seal, unseal
from tests.support.clinical_table import SCHEMA

SETTINGS = StudySettings(study="s", seed=3, model=Model(name="m"), split=Split(validation=0.25, test=0.25))


def manifest(*names: str) -> Manifest:
    """One case a patient, each with a contour."""
    paths: dict[File, Path] = {"gtv": Path("gtv.nii.gz")}
    return Manifest("a", tuple(Case(name, name, "folder", paths, {}, {}) for name in names))


def test_a_split_is_written_once_and_read_back(tmp_path: Path) -> None:
    first = draw_parts_once(manifest("p", "q", "r", "s"), SETTINGS, tmp_path / "home")
    assert sorted(first.values()) == ["test", "train", "train", "validation"]
    path = tmp_path / "home" / "split-3-0.25-0.25.json"
    written = {"center": "a", "cases": first, "patients": first}
    assert (unseal(path.read_bytes()), path.stat().st_mode & 0o777) == (written, 0o600)
    assert draw_parts_once(manifest("p", "q", "r", "s"), SETTINGS, tmp_path / "home") == first


def test_what_the_file_says_goes_before_what_would_be_drawn_and_newcomers_train(tmp_path: Path) -> None:
    (tmp_path / "split-3-0.25-0.25.json").write_text(json.dumps({"p": "test", "gone": "validation"}))
    found = draw_parts_once(manifest("p", "q", "r"), SETTINGS, tmp_path)
    assert found == {"p": "test", "q": "train", "r": "train"}


def test_a_patient_whose_part_was_changed_is_noticed_and_nobody_is_drawn_anew(tmp_path: Path) -> None:
    """One word: a test patient would train."""
    draw_parts_once(manifest("p", "q", "r", "s"), SETTINGS, tmp_path)
    (path,) = tmp_path.iterdir()
    changed = path.read_text().replace('"test"', '"train"', 1)
    path.write_text(changed)
    for ask in (fixed_parts, draw_parts_once):
        with pytest.raises(CaseError, match="not drawn again: restore it from a backup"):
            ask(manifest("p", "q", "r", "s"), SETTINGS, tmp_path)
    assert path.read_text() == changed


@pytest.mark.parametrize("content", ['{"p": "Test"}', '{"cases": {"p": "test"}, "patients": {}, "sael": "0"}', "[]"])
def test_what_no_version_wrote_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "split-3-0.25-0.25.json").write_text(content)
    with pytest.raises(CaseError, match="is damaged"):
        fixed_parts(manifest("p"), SETTINGS, tmp_path)


def test_a_split_of_an_earlier_version_gets_a_seal_and_the_same_parts(tmp_path: Path) -> None:
    path = tmp_path / "split-3-0.25-0.25.json"
    path.write_text(json.dumps({"p": "test", "gone": "validation"}))
    draw_parts_once(manifest("p", "q"), SETTINGS, tmp_path)
    cases = {"gone": "validation", "p": "test"}
    assert unseal(path.read_bytes()) == {"center": "a", "cases": cases, "patients": {"p": "test"}}
    assert fixed_parts(manifest("p", "q"), SETTINGS, tmp_path) == {"p": "test", "q": "train"}


def test_a_split_that_is_looked_at_is_not_fixed(tmp_path: Path) -> None:
    assert sorted(fixed_parts(manifest("p", "q"), SETTINGS, tmp_path).values()) == ["test", "train"]
    assert list(tmp_path.iterdir()) == []


def test_a_study_of_labels_has_a_split_of_its_own(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"tasks": ("segmentation", "classification"), "labels": SCHEMA})
    draw_parts_once(manifest("p", "q"), SETTINGS, tmp_path)
    draw_parts_once(manifest("p", "q"), settings, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "split-3-0.25-0.25-segmentation-classification.json",
        "split-3-0.25-0.25.json",
    ]


def test_each_fold_has_a_split_of_its_own(tmp_path: Path) -> None:
    for fold in (1, 2):
        settings = SETTINGS.model_copy(update={"split": Split(fold=fold, folds=2)})
        draw_parts_once(manifest("p", "q"), settings, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "split-3-0.16-0.5-fold-1-of-2.json",
        "split-3-0.16-0.5-fold-2-of-2.json",
    ]


def test_a_case_that_is_added_has_the_part_of_its_patient(tmp_path: Path) -> None:
    """A scan of a patient who tests is not trained on, whether its patient's first case is still there or not."""
    first = draw_parts_once(manifest("p", "q", "r", "s"), SETTINGS, tmp_path)
    (tested,) = [name for name, part in first.items() if part == "test"]
    scan = replace(manifest("p").cases[0], name="later", patient=tested)
    stranger = replace(scan, name="stranger", patient="new")
    for cases in ((*manifest("p", "q", "r", "s").cases, scan, stranger), (scan, stranger)):
        found = draw_parts_once(Manifest("a", cases), SETTINGS, tmp_path)
        assert (found["later"], found["stranger"]) == ("test", "train")
        assert {name: part for name, part in found.items() if name in first}.items() <= first.items()


def test_a_case_that_is_added_has_the_part_of_its_patient_in_a_split_of_an_earlier_version(tmp_path: Path) -> None:
    (tmp_path / "split-3-0.25-0.25.json").write_text(json.dumps({"p": "test"}))
    cases = (*manifest("p", "q").cases, replace(manifest("p").cases[0], name="later"))
    assert draw_parts_once(Manifest("a", cases), SETTINGS, tmp_path) == {"p": "test", "q": "train", "later": "test"}


@pytest.mark.parametrize("names", [("p", "q", "r", "s"), ("t", "u")])
def test_the_split_of_another_center_is_refused_whatever_its_cases_are_called(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    """Whom a split does not know trains: a stranger's would make training patients of all who test."""
    draw_parts_once(manifest("p", "q", "r", "s"), SETTINGS, tmp_path)
    other = replace(manifest(*names), center="b")
    for ask in (fixed_parts, draw_parts_once):
        with pytest.raises(CaseError, match="is that of center 'a', expected 'b'"):
            ask(other, SETTINGS, tmp_path)


def test_a_sealed_split_without_a_center_gets_its_name_and_the_same_parts(tmp_path: Path) -> None:
    path, parts = tmp_path / "split-3-0.25-0.25.json", {"p": "test", "q": "train"}
    path.write_bytes(seal({"cases": parts, "patients": parts}))
    assert draw_parts_once(manifest("p", "q"), SETTINGS, tmp_path) == parts
    assert unseal(path.read_bytes()) == {"center": "a", "cases": parts, "patients": parts}


@pytest.mark.parametrize("content", [json.dumps({"p": "test"}), seal({"cases": {}, "patients": {}}).decode()])
def test_a_split_that_knows_nobody_at_hand_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "split-3-0.25-0.25.json"
    path.write_text(content)
    for ask in (fixed_parts, draw_parts_once):
        with pytest.raises(CaseError, match="knows none of the 2 case"):
            ask(manifest("x", "y"), SETTINGS, tmp_path)
    assert (path.read_text(), draw_parts_once(manifest(), SETTINGS, tmp_path)) == (content, {})


def test_a_link_to_nothing_is_no_reason_to_draw_anew_and_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "split-3-0.25-0.25.json"
    for make in (lambda: path.symlink_to("gone"), lambda: os.mkfifo(path)):
        make()
        with pytest.raises(CaseError, match="is damaged"):
            draw_parts_once(manifest("p"), SETTINGS, tmp_path)
        path.unlink()


def test_a_patient_whom_a_later_table_gives_cases_of_several_parts_is_refused(tmp_path: Path) -> None:
    """Drawn: one tests, one validates, two train. One patient of a test and a training case would train on his test."""
    before = manifest("p", "q", "r", "s")
    drawn = draw_parts_once(before, SETTINGS, tmp_path)
    (tested,) = (case for case, part in drawn.items() if part == "test")
    trained, other = (case for case, part in drawn.items() if part == "train")
    together = _of_one_patient(before, {tested, trained})
    for ask in (fixed_parts, draw_parts_once):
        with pytest.raises(CaseError, match=rf"1 patient\(s\) in several parts, such as 'P': .*'{tested}' \(test\)"):
            ask(together, SETTINGS, tmp_path)
    assert fixed_parts(before, SETTINGS, tmp_path) == drawn
    assert fixed_parts(_of_one_patient(before, {trained, other}), SETTINGS, tmp_path) == drawn


def test_a_new_case_of_a_patient_whom_a_later_table_named_has_his_part(tmp_path: Path) -> None:
    drawn = draw_parts_once(manifest("p", "q", "r", "s"), SETTINGS, tmp_path)
    (tested,) = (case for case, part in drawn.items() if part == "test")
    later = _of_one_patient(manifest("p", "q", "r", "s", "new"), {tested, "new"})
    assert fixed_parts(later, SETTINGS, tmp_path) == {**drawn, "new": "test"}


def _of_one_patient(whole: Manifest, names: set[str]) -> Manifest:
    return replace(
        whole, cases=tuple(replace(case, patient="P") if case.name in names else case for case in whole.cases)
    )
