"""What a center allows where it says nothing."""

from client.home.limits import DEFAULT_LIMITS, WorkLimits


def test_defaults_are_far_above_honest_use() -> None:
    assert WorkLimits(batch=512, hours=72, memory_gib=0) == DEFAULT_LIMITS
