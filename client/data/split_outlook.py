"""What of a center's figures would stay with it: the parts of a split that fewer cases have than the center sends from.

The split says how many cases stand behind an update, a score and a comparison; `--minimum-cases` how many must.
"""

from collections.abc import Collection, Mapping

from client.data.census import PARTS
from client.data.split import part_sizes
from protocol.messages.instruction import Part
from protocol.messages.settings import Split

STANDS_ON: Mapping[Part, str] = {
    "train": "update and loss",
    "validation": "validation scores and the comparison that the no-harm gate asks for",
    "test": "test scores",
}
"""What leaves a center and stands on the cases of a part."""
MOST_PATIENTS = 100_000


def wanted_parts(split: Split) -> tuple[Part, ...]:
    """The parts that a study's split has a share for."""
    shares = {"train": 1.0, "validation": split.validation, "test": split.test}
    return tuple(part for part in PARTS if shares[part])


def count_parts(drawn: Collection[Part]) -> dict[Part, int]:
    """Cases of each part."""
    cases = list(drawn)
    return {part: cases.count(part) for part in PARTS}


def thin_parts(counts: Mapping[Part, int], split: Split, minimum_cases: int) -> tuple[Part, ...]:
    """The parts that have cases, and fewer than the center sends from."""
    return tuple(part for part in wanted_parts(split) if 0 < counts[part] < minimum_cases)


def split_words(counts: Mapping[Part, int]) -> str:
    """`train 5, validation 1, test 2`."""
    return ", ".join(f"{part} {counts[part]}" for part in PARTS)


def withheld_words(thin: Collection[Part]) -> str:
    """What stays with a center whose thin parts these are."""
    return ", ".join(STANDS_ON[part] for part in thin)


def fewest_patients(split: Split, minimum_cases: int) -> int | None:
    """Patients from which on each part of the split has so many, one case each; None where no number gives that."""
    wanted = wanted_parts(split)
    for patients in range(1, MOST_PATIENTS):
        sizes = part_sizes(patients, split)
        if all(sizes[part] >= minimum_cases for part in wanted):
            return patients
    return None


def outlook_lines(split: Split, minimum_cases: int, examples: Collection[int]) -> list[str]:
    """What a center would withhold that sends from `minimum_cases` on, for some numbers of patients, a case each."""
    enough = fewest_patients(split, minimum_cases)
    lines = []
    for patients in examples:
        sizes = part_sizes(patients, split)
        thin = withheld_words(thin_parts(sizes, split, minimum_cases))
        lines.append(f"{patients} patients: {split_words(sizes)}; withheld: {thin or 'nothing'}")
    return [*lines, f"from {enough} patients on nothing is withheld"] if enough else lines
