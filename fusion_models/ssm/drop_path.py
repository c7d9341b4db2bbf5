"""Drop-path rates (stochastic depth, arXiv 1603.09382) of the blocks of a network, in order."""


def linear_rates(first: float, last: float, count: int) -> list[float]:
    """`count` evenly spaced rates from `first` to `last`, both included."""
    return [first + (last - first) * i / max(count - 1, 1) for i in range(count)]
