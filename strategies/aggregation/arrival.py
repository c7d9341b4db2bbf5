"""What every scheme asks of a round's payloads, whatever it computes: each center once, in order, and somebody."""

from collections.abc import Iterable, Iterator, Mapping

from protocol.errors import PayloadError
from protocol.messages.payload import Payload


def in_center_order(payloads: Iterable[Payload]) -> Iterator[Payload]:
    """The payloads as they come, each center once, in the order of names: sums are then the same to the bit.

    Raises:
        PayloadError: a center came twice, or after one that its name precedes.
    """
    last = ""
    for payload in payloads:
        if payload.center == last:
            raise PayloadError(f"center '{last}' sent more than one payload in a round, expected one from each center")
        if payload.center < last:
            raise PayloadError(f"center '{payload.center}' came after '{last}', expected the order of center names")
        last = payload.center
        yield payload


def nobody(supports: Mapping[str, Mapping[str, int]]) -> PayloadError:
    """The error of a round in which no center has a case behind any tensor."""
    return PayloadError(
        f"no center supports any tensor: supports by center are {supports}, expected at least one training case "
        "at one center; the shared tensors stay as they are"
    )
