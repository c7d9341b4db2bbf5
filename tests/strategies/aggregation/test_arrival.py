"""Each center once, in order, and somebody."""

from collections.abc import Iterator

import pytest

from protocol.errors import PayloadError
from protocol.messages.payload import Payload
from strategies.aggregation.arrival import in_center_order, nobody


def payload(center: str) -> Payload:
    return Payload(center, "hash", "adapt", 1, {}, {})


def test_payloads_in_order_pass_one_by_one() -> None:
    read: list[str] = []

    def arriving() -> Iterator[Payload]:
        for center in ("a", "b", "c"):
            read.append(center)
            yield payload(center)

    passing = in_center_order(arriving())
    assert next(passing).center == "a"
    assert read == ["a"]
    assert [each.center for each in passing] == ["b", "c"]


def test_a_center_twice_or_out_of_order_is_named() -> None:
    with pytest.raises(PayloadError, match="center 'b' sent more than one payload"):
        list(in_center_order([payload("a"), payload("b"), payload("b")]))
    with pytest.raises(PayloadError, match="center 'a' came after 'b'"):
        list(in_center_order([payload("b"), payload("a")]))


def test_a_round_of_nobody_says_who_supports_what() -> None:
    assert "supports by center are {'a': {'pet': 0}}, expected at least one" in str(nobody({"a": {"pet": 0}}))
