import pytest

from server.card.checklists import CHECKLISTS, CLAIM, TRIPOD_AI, Item, _filled


def test_tripod_ai_has_27_items_and_claim_44() -> None:
    assert sorted({int(item.number.rstrip("abcdefg")) for item in TRIPOD_AI}) == list(range(1, 28))
    assert [item.number for item in CLAIM] == [str(number) for number in range(1, 45)]


@pytest.mark.parametrize("name", CHECKLISTS)
def test_no_item_stands_twice(name: str) -> None:
    numbers = [item.number for item in CHECKLISTS[name]]
    assert len(numbers) == len(set(numbers))


@pytest.mark.parametrize(
    ("item", "state"),
    [
        (Item("1", "topic"), "open"),
        (Item("1", "topic", lambda _: ""), "open"),
        (Item("1", "topic", lambda _: "a fact"), "filled"),
        (Item("1", "topic", lambda _: "a fact", "the rest"), "partly"),
    ],
)
def test_an_item_is_as_full_as_its_facts(item: Item, state: str) -> None:
    assert _filled(item, {})["state"] == state


def test_what_no_fact_says_names_nothing_as_left() -> None:
    assert _filled(Item("1", "topic", lambda _: "", "the rest"), {})["left"] == ""
