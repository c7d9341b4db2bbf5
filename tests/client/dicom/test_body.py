import pytest

from client.data.conversion import SuvKind
from client.dicom.body import body_surface_m2, lean_body_mass_kg, read_measure
from tests.support.pet_headers import SUBJECT, pet_header


def test_lean_body_mass_of_a_woman_and_a_man_of_70_kg_and_170_cm() -> None:
    """B = 70 / 2.89 = 24.2215: 648900 / (8780 + 5910.03) and 648900 / (6680 + 5231.83)."""
    assert lean_body_mass_kg(70, 1.7, male=False) == pytest.approx(44.173, abs=1e-3)
    assert lean_body_mass_kg(70, 1.7, male=True) == pytest.approx(54.475, abs=1e-3)


def test_body_surface_of_70_kg_and_170_cm_is_1_81_square_meters() -> None:
    """0.007184 * 70^0.425 (6.0834) * 170^0.725 (41.403)."""
    assert body_surface_m2(70, 1.7) == pytest.approx(1.8094, abs=1e-3)


@pytest.mark.parametrize(("kind", "measure"), [("bw", 70000.0), ("lbm", 44173.0), ("bsa", 18094.0)])
def test_the_measure_is_in_grams_or_square_centimeters(kind: SuvKind, measure: float) -> None:
    assert read_measure(pet_header(), kind, SUBJECT) == pytest.approx(measure, rel=1e-3)


@pytest.mark.parametrize(
    ("kind", "tags", "codes"),
    [
        ("bw", {"PatientWeight": None, "PatientSize": None, "PatientSex": None}, ["pet-weight"]),
        ("bw", {"PatientSize": None, "PatientSex": None}, []),
        ("bsa", {"PatientSize": None, "PatientSex": None}, ["pet-height"]),
        ("lbm", {"PatientWeight": 0, "PatientSize": 170, "PatientSex": "O"}, ["pet-weight", "pet-height", "pet-sex"]),
        ("lbm", {"PatientSex": None}, ["pet-sex"]),
    ],
)
def test_all_that_a_kind_needs_and_nothing_else_is_asked_for(
    kind: SuvKind, tags: dict[str, object], codes: list[str]
) -> None:
    measure = read_measure(pet_header(**tags), kind, SUBJECT)
    assert [issue.code for issue in measure] == codes if isinstance(measure, tuple) else codes == []
