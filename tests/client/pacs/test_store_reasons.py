"""Why an object was not stored, in words."""

import pytest

from client.pacs.store_reasons import refusal


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0x0122, "SOP class not supported"),
        (0xA700, "no room"),
        (0xA7FF, "no room"),
        (0xA900, "does not match its SOP class"),
        (0xC122, "transfer syntax"),
        (0xC001, "cannot understand"),
        (None, "without a reason"),
    ],
)
def test_a_status_has_words_and_a_remedy(status: int | None, words: str) -> None:
    said = refusal(status)
    assert words in said
    assert said.endswith("ask the PACS' administrator to let it in, then store again")
