"""Names that can be folders."""

import pytest

from protocol.names import NAME


@pytest.mark.parametrize("name", ["hgj", "center-a", "A.1_b", "9", "x" * 64])
def test_plain_names_are_names(name: str) -> None:
    assert NAME.fullmatch(name)


@pytest.mark.parametrize("name", ["", ".hidden", "-option", "a/b", "a b", "ü", "x" * 65, "a\n"])
def test_what_could_leave_the_folder_is_no_name(name: str) -> None:
    assert not NAME.fullmatch(name)
