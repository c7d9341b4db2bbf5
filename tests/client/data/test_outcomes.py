"""Which outcomes some combination of figures would tell of one patient."""

import pytest

from client.data.outcomes import outcomes_of_one


def of_one(**cases: str) -> set[str]:
    """Cases of patients of their own, each with its outcomes, joined by "+"."""
    return set(outcomes_of_one({name: sets(found) for name, found in cases.items()}, {name: name for name in cases}))


def sets(outcomes: str) -> frozenset[str]:
    return frozenset(outcomes.split("+")) - {""}


@pytest.mark.parametrize(
    ("classes", "told"),
    [("0000", set()), ("0001", {"1"}), ("0011", set()), ("0111", {"0"}), ("00112", {"2"}), ("", set()), ("01", {"1"})],
)
def test_a_class_of_one_patient_is_told_and_one_of_two_is_not(classes: str, told: set[str]) -> None:
    """Of one patient each, the other class alone is a combination as well: one of both is kept from none."""
    assert of_one(**{f"p{place}": name for place, name in enumerate(classes)}) >= told


def test_events_that_differ_in_one_patient_are_not_told_apart() -> None:
    """Progression less death is the patient who lives on; the more frequent endpoint is kept."""
    assert of_one(a="death+progression", b="death+progression", c="progression", d="", e="") == {"death"}
    assert of_one(a="death+progression", b="death+progression", c="progression", d="progression", e="") == set()


def test_three_endpoints_may_tell_what_two_do_not() -> None:
    """local + distant - any is the patient with both."""
    found = {"a": "local+distant+any", "b": "local+any", "c": "local+any", "d": "distant+any", "e": "distant+any"}
    assert of_one(**found) == {"local"}
    assert of_one(**found, f="local+distant+any") == set()


def test_two_cases_of_a_patient_are_one_patient() -> None:
    cases = {"a1": sets("1"), "a2": sets("1"), "b": sets("0"), "c": sets("0")}
    assert outcomes_of_one(cases, {"a1": "a", "a2": "a", "b": "b", "c": "c"}) == {"1"}
