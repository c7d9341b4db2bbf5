"""A study that is no case yet becomes one as the others became it."""

from dataclasses import replace
from pathlib import Path

from client.convert.case_conversion import Done
from client.convert.contract import Choices
from client.convert.identities import Origin, PrivateFolder, open_private
from client.convert.resumption import read_done, write_done
from client.corrections.correction_run import Wishes, bring_back
from client.corrections.missing_cases import choices_of
from client.data.checks import Issue
from client.data.conversion_file import read_conversion
from tests.support.corrected_study import Corrected, shift


def folder_of(tmp_path: Path, *said: Choices, study_uid: str = "1.2") -> PrivateFolder:
    private = open_private(tmp_path / "data.private")
    names = [f"case-{number}" for number in range(len(said))]
    private.write_origins({name: Origin(name, "p", "s", {"study_uid": study_uid}) for name in names})
    write_done(private.state, {name: Done("f", {}, choices) for name, choices in zip(names, said, strict=True)})
    return private


def test_the_choices_are_those_of_the_cases(tmp_path: Path) -> None:
    said = Choices("gtv", "lbm", declared_suv=True)
    assert choices_of(folder_of(tmp_path, said, said)) == said


def test_several_patterns_are_none_and_an_empty_folder_has_the_defaults(tmp_path: Path) -> None:
    assert choices_of(folder_of(tmp_path, Choices("a", "bsa"), Choices("b", "bsa"))) == Choices(None, "bsa")
    assert choices_of(folder_of(tmp_path)) == Choices()


def test_cases_of_image_files_say_nothing_of_studies(tmp_path: Path) -> None:
    assert choices_of(folder_of(tmp_path, Choices(declared_suv=True), study_uid="")) == Choices()


def test_several_kinds_of_suv_are_refused(tmp_path: Path) -> None:
    told = choices_of(folder_of(tmp_path, Choices(), Choices(suv="lbm")))
    assert isinstance(told, Issue)
    assert (told.code, told.grade) == ("correction-choices", "error")
    assert "convert the corrected study first" in told.remedy


def test_a_missing_study_gets_the_suv_of_the_others(study: Corrected) -> None:
    """The data folder has one case by body surface, and not the corrected study."""
    named, done = study.private.read_origins(), read_done(study.private.state)
    other = replace(named[study.case], identity="other", origins={"study_uid": "1.2"})
    study.private.write_origins({"case-other": other})
    write_done(study.private.state, {"case-other": replace(done[study.case], choices=Choices(suv="bsa"))})
    study.edit(shift)
    wishes = Wishes(images=study.source)
    result = bring_back(study.edited, study.predictions, study.dest, study.private, wishes, lambda _count: None)
    assert [(each.case, each.state) for each in result.outcomes] == [(study.case, "taken")]
    record = read_conversion(study.dest / study.case)
    assert record is not None
    assert record.pet_values is not None
    assert record.pet_values.kind == "bsa"
    assert read_done(study.private.state)[study.case].choices == Choices(suv="bsa")
