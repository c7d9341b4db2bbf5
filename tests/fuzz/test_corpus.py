"""Damaged bytes in every reader: an error that a user can act on, soon, and nothing else."""

import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import pytest

from tests.fuzz.findings import FINDINGS
from tests.fuzz.mutations import mutate
from tests.fuzz.targets import TARGETS, Target

SEED = 20260801
INPUTS = {"image": 500, "kit": 1200, "nifti": 2500, "reply": 4000, "stored": 800, "text": 700}
LONGEST_S = 20

target = cache(lambda name: TARGETS[name]())


@contextmanager
def at_most(seconds: int, what: object) -> Iterator[None]:
    """Fail with what was read when it takes longer."""

    def stop(*_: object) -> None:
        raise AssertionError(f"read for more than {seconds} s: {what!r}")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def read_all(reader: Target, name: str) -> None:
    rng = random.Random(SEED)
    for number in range(INPUTS[name]):
        data = mutate(rng.choice(reader.seeds), rng)
        with at_most(LONGEST_S, data):
            try:
                reader(data)
            except Exception as error:
                raise AssertionError(f"{name}, input {number}: {error!r} of {data[:500]!r}") from error


def test_every_target_has_inputs():
    assert set(INPUTS) == set(TARGETS)


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_damaged_bytes_are_refused_in_words_or_read_as_they_are(name: str):
    read_all(target(name), name)


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_sound_bytes_are_read(name: str):
    for seed in target(name).seeds:
        target(name)(seed)


@pytest.mark.parametrize("finding", sorted(FINDINGS))
def test_what_was_found_once_stays_mended(finding: str):
    name, data = FINDINGS[finding]
    with at_most(LONGEST_S, finding):
        target(name)(data)


def test_the_same_seed_gives_the_same_damage():
    first, second = ([mutate(b"{1: [2, 3]}", random.Random(seed)) for seed in range(50)] for _ in range(2))
    assert first == second
    assert len(set(first)) > 40
