"""Whether a center's PET all mean the same: SUV of one kind, and of the kind that the studies' windows are for."""

from collections import Counter
from collections.abc import Iterator, Sequence

from client.data.checks import Issue, Subject
from client.data.conversion import SuvKind
from client.data.manifest import Case

WORDS: dict[SuvKind, str] = {"bw": "body weight", "lbm": "lean body mass", "bsa": "body surface area"}
USUAL: SuvKind = "bw"


def suv_kind_issues(center: Subject, cases: Sequence[Case]) -> Iterator[Issue]:
    """One finding about all PET of a center where their records say that they are not all by body weight.

    A PET without a record says nothing, and is counted.
    """
    with_pet = [case for case in cases if "pet" in case.paths]
    values = [case.conversion.pet_values for case in with_pet if case.conversion and case.conversion.pet_values]
    kinds = Counter(value.kind for value in values)
    if not set(kinds) - {USUAL}:
        return
    told = [f"{count} PET by {WORDS[kind]}" for kind, count in sorted(kinds.items())]
    told += [f"{len(with_pet) - len(values)} that do not say"] if len(with_pet) > len(values) else []
    expected = f"SUV by {WORDS[USUAL]} in all"
    if len(kinds) > 1:
        step = f"convert all with the same --suv; without one it is SUV by {WORDS[USUAL]}"
        yield center.issue("suv-mixed", "", ", ".join(told), expected, step, grade="warning")
    else:
        step = "nothing to do if the study agreed on it: windows in SUV are usually meant by body weight"
        yield center.issue("suv-kind", "", ", ".join(told), expected, step, grade="note")
