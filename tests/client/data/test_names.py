"""Names that are alike, and names that cannot be."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.data.names import LONGEST_NAME, escape_name, find_in_name, look_alike_key, name_key


@pytest.mark.parametrize(
    "names",
    [
        ("001", "1", "1.0", " 1 ", "1,00", "\uff11"),
        ("Case 7", "case  7", "CASE\u00a07", "case\u200b 7"),
        ("M\u00fcller", "mu\u0308ller", "M\u00dcLLER"),
        ("\ufeffone", "ONE"),
        ("P-1", "p\u20111", "P\u20131", "P\u22121", "P\ufe581"),
    ],
)
def test_spellings_of_one_name_are_alike(names: tuple[str, ...]):
    assert len({name_key(name) for name in names}) == 1


def test_other_names_are_not():
    assert len({name_key(name) for name in ("1", "10", "1.5", "1a", "a1", "0", "case 7", "case 70", "case7")}) == 9


def test_names_that_look_alike_are_told_from_others():
    alike = [
        ("P01", "P1"),
        ("'P1'", "P1"),
        ("1E+05", "100000"),
        ("1,5e1", "15"),
        ("A_7", "a 7"),
        ("\u0420\u0421", "pc"),
    ]
    assert all(look_alike_key(one) == look_alike_key(other) for one, other in alike)
    assert len({look_alike_key(name) for name in ("P1", "P10", "P-1", "1.5", "15", "1-12", "11-2", "e5", "0")}) == 9


@given(st.text(max_size=20))
def test_a_key_is_its_own_key_and_that_of_the_other_unicode_forms(name: str):
    key = name_key(name)
    assert name_key(key) == key
    assert {name_key(unicodedata.normalize(form, name)) for form in ("NFC", "NFD")} == {key}


def test_a_name_is_shown_on_one_line():
    assert escape_name("a\nb\x1b[31m\udcff\u00e9") == "a\\nb\\x1b[31m\\udcff\u00e9"


@pytest.mark.parametrize(
    "name", ["a\nb", "\x1b[2J", "\udcff", "x" * (LONGEST_NAME + 1), "../x", "a/b", "a\\b", ".hidden"]
)
def test_a_case_cannot_be_called_so(name: str):
    assert find_in_name(name)


@pytest.mark.parametrize("name", ["case-01", "STS_002", "Fall 7", "M\u00fcller", "x" * LONGEST_NAME])
def test_a_case_can(name: str):
    assert find_in_name(name) == ""
