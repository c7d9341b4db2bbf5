"""What SUV divides the dose by: body weight, lean body mass or body surface area, from the header of a PET.

    bw   W, in g.
    lbm  9270 W / (6680 + 216 B) for men, 9270 W / (8780 + 244 B) for women, in kg, with B = W / H^2.
    bsa  0.007184 W^0.425 (100 H)^0.725, in m^2.

W is the weight in kg, H the height in m. Sources: Janmahasatian et al., Clin. Pharmacokinet. 44 (2005) 1051, which
DICOM calls LBMJANMA and which Tahari et al., J. Nucl. Med. 55 (2014) 1481, recommend over James' formula, that fails in
obesity; Du Bois and Du Bois, Arch. Intern. Med. 17 (1916) 863. DICOM names the types of SUV in PS3.3 C.8.9.1 (SUV
Type).
"""

from pydicom.dataset import Dataset

from client.data.checks import Issue, Subject
from client.data.conversion import SuvKind
from client.dicom.numbers import read_number

PET = "pet.nii.gz"
WEIGHTS_KG = (1.0, 400.0)
HEIGHTS_M = (0.3, 2.6)


def read_measure(header: Dataset, kind: SuvKind, subject: Subject) -> float | tuple[Issue, ...]:
    """Grams of body weight or lean body mass, or square centimeters of surface; or what is missing for it."""
    needed: list[float | Issue] = [read_weight_kg(header, subject)]
    if kind != "bw":
        needed.append(_read_height_m(header, subject))
    sex = _read_sex(header, subject) if kind == "lbm" else ""
    issues = tuple(value for value in (*needed, sex) if isinstance(value, Issue))
    if issues:
        return issues
    numbers = [value for value in needed if isinstance(value, float)]
    if kind == "bw":
        return 1000 * numbers[0]
    return 1000 * lean_body_mass_kg(*numbers, male=sex == "M") if kind == "lbm" else 1e4 * body_surface_m2(*numbers)


def lean_body_mass_kg(weight_kg: float, height_m: float, *, male: bool) -> float:
    """Lean body mass by Janmahasatian."""
    index = weight_kg / height_m**2
    return 9270 * weight_kg / (6680 + 216 * index if male else 8780 + 244 * index)


def body_surface_m2(weight_kg: float, height_m: float) -> float:
    """Body surface area by Du Bois."""
    return float(0.007184 * weight_kg**0.425 * (100 * height_m) ** 0.725)


def read_weight_kg(header: Dataset, subject: Subject) -> float | Issue:
    """The patient's weight."""
    return read_number(
        header, "PatientWeight", WEIGHTS_KG, subject, code="pet-weight", unit="kg", step="enter the weight in the PACS"
    )


def _read_height_m(header: Dataset, subject: Subject) -> float | Issue:
    step = "enter the height in the PACS, or take SUV by body weight"
    return read_number(header, "PatientSize", HEIGHTS_M, subject, code="pet-height", unit="m", step=step)


def _read_sex(header: Dataset, subject: Subject) -> str | Issue:
    sex = str(header.get("PatientSex") or "").strip().upper()
    if sex in {"M", "F"}:
        return sex
    found = f"PatientSex (0010,0040) '{sex}'" if sex else "no PatientSex (0010,0040)"
    step = "enter it in the PACS, or take SUV by body weight"
    return subject.issue("pet-sex", PET, found, "M or F, for lean body mass", step)
