"""Damage done to bytes by a seeded generator: flips, cuts, copies, and tokens that parsers have stumbled over."""

import random
from collections.abc import Callable, Sequence

TOKENS: Sequence[bytes] = (
    b"[" * 5000,
    b'{"a":' * 3000,
    b"9" * 5000,
    b"1e400",
    b"-1",
    b"0",
    b"null",
    b"true",
    b"NaN",
    b'"\\ud800"',
    b"\xff\xfe",
    b"\0",
    b"\x1b[2J",
    b"[/x]",
    b"../../etc/passwd",
    b"9223372036854775808",
    b"18446744073709551616",
    "\u202e".encode(),
    b"\n",
    b'""',
    b"[]",
    b"{}",
)
MOST_STEPS = 4
LARGEST = 1 << 16


def mutate(seed: bytes, rng: random.Random) -> bytes:
    """The bytes after one to four damages."""
    data = bytearray(seed)
    for _ in range(rng.randint(1, MOST_STEPS)):
        rng.choice(KINDS)(data, rng)
    return bytes(data[:LARGEST])


def _place(data: bytearray, rng: random.Random) -> int:
    return rng.randrange(len(data) + 1)


def _flip(data: bytearray, rng: random.Random) -> None:
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _overwrite(data: bytearray, rng: random.Random) -> None:
    if data:
        data[rng.randrange(len(data))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))


def _cut(data: bytearray, rng: random.Random) -> None:
    del data[_place(data, rng) :]


def _remove(data: bytearray, rng: random.Random) -> None:
    at = _place(data, rng)
    del data[at : at + rng.randint(1, 40)]


def _repeat(data: bytearray, rng: random.Random) -> None:
    at = _place(data, rng)
    data[at:at] = data[at : at + rng.randint(1, 60)]


def _insert(data: bytearray, rng: random.Random) -> None:
    at = _place(data, rng)
    data[at:at] = rng.choice(TOKENS)


def _replace_number(data: bytearray, rng: random.Random) -> None:
    """A run of digits becomes a token."""
    places = [at for at, byte in enumerate(data) if 48 <= byte <= 57]
    if places:
        at = rng.choice(places)
        end = at
        while end < len(data) and 48 <= data[end] <= 57:
            end += 1
        data[at:end] = rng.choice(TOKENS)


def _replace_value(data: bytearray, rng: random.Random) -> None:
    """What follows an equals sign or a colon, to the end of the line or the next comma, becomes a token."""
    places = [at for at, byte in enumerate(data) if byte in b"=:"]
    if places:
        at = rng.choice(places) + 1
        end = min((place for stop in (b"\n", b",") if (place := data.find(stop, at)) >= 0), default=len(data))
        data[at:end] = b" " + rng.choice(TOKENS)


KINDS: Sequence[Callable[[bytearray, random.Random], None]] = (
    _flip,
    _overwrite,
    _cut,
    _remove,
    _repeat,
    _insert,
    _replace_number,
    _replace_value,
)
