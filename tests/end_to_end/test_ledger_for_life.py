"""After a study every tensor, score and comparison that left a center is an entry of its ledger for life."""

import json
from pathlib import Path

import pytest

from client.privacy.ledger_file import LEDGER, Entry
from client.privacy.privacy_ledger import PrivacyLedger
from protocol.storage.chain_check import check_chain
from server.study.directory import StudyDirectory


@pytest.fixture(params=["center-a", "center-d"])
def home(finished: StudyDirectory, request: pytest.FixtureRequest) -> Path:
    """A simulated center's home."""
    return finished.root / "centers" / str(request.param)


@pytest.fixture
def entries(home: Path) -> tuple[Entry, ...]:
    return PrivacyLedger(home).entries()


def test_the_chain_stands_and_nothing_has_a_mechanism(home: Path, entries: tuple[Entry, ...]) -> None:
    assert check_chain(home / LEDGER).broken is None
    assert {entry.release.mechanism for entry in entries} == {"none"}
    assert {"training", "score"} <= {entry.release.kind for entry in entries}


def test_what_the_outgoing_log_says_left_is_recorded_to_the_bit(home: Path, entries: tuple[Entry, ...]) -> None:
    """Tensors by their hash, figures by the stage and round in which they were asked for."""
    lines = [json.loads(line) for line in (home / "outgoing.jsonl").read_text().splitlines()]
    sent = {line["content_sha256"] for line in lines if line["tensors"]}
    assert sent == {entry.content for entry in entries if entry.release.kind == "training"}
    figures = {(line["stage"], line["server_round"]) for line in lines if line["scores"]}
    scored = [entry.release for entry in entries if entry.release.kind == "score"]
    assert figures == {(release.stage, release.server_round) for release in scored}
    compared = sum(line["comparison"] is not None for line in lines)
    assert compared == sum(entry.release.kind == "comparison" for entry in entries)
