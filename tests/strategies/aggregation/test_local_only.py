"""No exchange."""

from strategies.aggregation import local_only
from tests.support.drawn_adapters import A, sent_by
from tests.support.linear_round import HEAD, base, lists, tensor


def test_local_only_exchanges_nothing() -> None:
    result = local_only.aggregate({A: tensor([1])}, [sent_by("a", {A: tensor([9])}, peft=1)], base(), {})
    assert lists(result.shared) == {A: [[1.0]]}
    assert local_only.keeps(A)
    assert local_only.keeps(HEAD)
