"""The five ways to name scans: one of them, no more."""

from pathlib import Path

import pytest
import typer

from client.cli.predict_input import Where, find_scans, open_predictor
from client.convert.contract import Choices
from protocol.errors import BankError, CaseError
from tests.support.small_bank import write_bank
from tests.support.two_cases import write_two_cases

ANY = Path("x")


@pytest.mark.parametrize(
    "where", [Where(source=ANY), Where(data=ANY), Where(ct=ANY), Where(ct=ANY, pet=ANY), Where(pet=ANY)]
)
def test_one_place_is_enough(where: Where) -> None:
    where.check(store=False)


@pytest.mark.parametrize("where", [Where(), Where(source=ANY, pet=ANY), Where(data=ANY, study_uids=("1",), server=ANY)])
def test_none_or_several_are_refused(where: Where) -> None:
    with pytest.raises(typer.BadParameter, match="expected one of"):
        where.check(store=False)


def test_a_source_without_a_study_says_so(tmp_path: Path) -> None:
    bank = write_bank(tmp_path / "place")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CaseError, match=r"empty has no study with a CT or a PET"):
        find_scans(Where(source=tmp_path / "empty"), bank, tmp_path / "private", "dicom", Choices(), None)


def test_a_data_folder_without_its_private_folder_says_what_it_lacks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, bank = write_two_cases(tmp_path / "data"), write_bank(tmp_path / "place")
    where = Where(data=data)
    private = where.default_private(tmp_path / "out")
    assert private == tmp_path / "data.private"
    scans = find_scans(where, bank, private, None, Choices(), None)
    assert [scan.case for scan in scans] == ["one", "two"]
    assert "NIfTI and JSON alone" in capsys.readouterr().err
    assert not private.exists()


def test_a_bank_without_router_answers_for_no_route(tmp_path: Path) -> None:
    with pytest.raises(BankError):
        open_predictor(write_bank(tmp_path), "routed", None, None, device="cpu")
