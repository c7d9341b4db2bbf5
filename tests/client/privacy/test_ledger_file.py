"""What a line of the ledger says, and every way in which a file stops being believed."""

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from client.data.block_file import RecordsError
from client.privacy.case_hashes import KEY, digest_of, hash_names, provide_key
from client.privacy.ledger_file import LEDGER, cohort_digest
from client.privacy.privacy_ledger import Bare, PrivacyLedger
from client.privacy.release import Release, release_without_guarantee
from protocol.storage.chain import append_line, head_path

NOON = datetime(2031, 5, 1, 12, tzinfo=UTC)
BARE = release_without_guarantee("score", "s", "adapt", 1)


def training(server_round: int) -> Release:
    return Release("training", "subsampled-gaussian", 1.5, 0.25, 8, "s", "adapt", server_round)


@pytest.fixture
def ledger(tmp_path: Path) -> PrivacyLedger:
    """Three rounds of the same two patients, at noon."""
    made = PrivacyLedger(tmp_path, lambda: NOON)
    for server_round in (1, 2, 3):
        made.record(training(server_round), ["a", "b"])
    return made


def test_a_line_holds_the_numbers_and_a_cohort_once(ledger: PrivacyLedger, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in (tmp_path / LEDGER).read_text().splitlines()]
    assert [len(line.get("subjects", ())) for line in lines] == [2, 0, 0]
    first = lines[0]
    assert (first["noise_multiplier"], first["sample_rate"], first["steps"]) == (1.5, 0.25, 8)
    assert first["cohort"] == cohort_digest(first["subjects"]) == lines[2]["cohort"]
    assert '"a"' not in (tmp_path / LEDGER).read_text()
    assert [entry.release for entry in ledger.entries()] == [training(1), training(2), training(3)]


def cut_last(log: Path) -> None:
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-1]))


def less_noise(log: Path) -> None:
    log.write_text(log.read_text().replace("1.5", "9.5", 1))


def remove_middle(log: Path) -> None:
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(lines[0] + lines[2])


def remove(log: Path) -> None:
    log.unlink()


def remove_both(log: Path) -> None:
    log.unlink()
    head_path(log).unlink()


def remove_head(log: Path) -> None:
    head_path(log).unlink()


def exchange_key(log: Path) -> None:
    log.with_name(KEY).write_bytes(b"k" * 32)


def lose_key(log: Path) -> None:
    log.with_name(KEY).unlink()


def append_newer_schema(log: Path) -> None:
    append_line(log, {"schema_version": 3, "more": 1})


def name_other_patients(log: Path) -> None:
    """A line that is chained, of a cohort that its hashes do not make up."""
    line = json.loads(log.read_text().splitlines()[0])
    append_line(log, {**line, "cohort": 64 * "0"})


def append_something_else(log: Path) -> None:
    append_line(log, {"schema_version": 1, "kind": "training"})


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (cut_last, r"from line 3 on: .*the last ones were changed, removed or cut"),
        (less_noise, r"from line 1 on: it was changed"),
        (remove_middle, r"from line 2 on: "),
        (remove, r"from line 1 on: 0 chained line\(s\), the head knows 3"),
        (remove_both, r"is gone, and cases.key beside it says that there was one"),
        (remove_head, r"the head of the chain is missing"),
        (exchange_key, r"was hashed in line 1 with key .* that has SHA-256"),
        (lose_key, r"was hashed in line 1 with key .* there is none"),
        (append_newer_schema, r"has schema 3 in line 4, expected 1 or 2"),
        (name_other_patients, r"does not say in line 4 which patients it stands on"),
        (append_something_else, r"has no entry in line 4 \(time: Field required\)"),
    ],
)
def test_a_file_that_is_not_as_it_was_written_is_refused_by_name(
    ledger: PrivacyLedger, tmp_path: Path, damage: Callable[[Path], None], found: str
) -> None:
    damage(tmp_path / LEDGER)
    with pytest.raises(RecordsError, match=found) as caught:
        ledger.would_be(training(4), ["a"], 1e-4)
    assert str(caught.value).startswith(str(tmp_path / LEDGER))
    with pytest.raises(RecordsError, match=found):
        ledger.record(training(4), ["a"])


def test_a_file_of_the_first_version_is_read_and_goes_on_with_lines_of_the_second(tmp_path: Path) -> None:
    """Line 1 as version 1 wrote it: a private round of a and b, before anything else was recorded."""
    key = provide_key(tmp_path)
    subjects = sorted(hash_names(key, ["a", "b"]))
    line = {"schema_version": 1, "time": NOON.isoformat(), "key": digest_of(key), **asdict(training(1))}
    append_line(tmp_path / LEDGER, {**line, "cohort": cohort_digest(subjects), "subjects": subjects})
    ledger = PrivacyLedger(tmp_path, lambda: NOON)
    assert ledger.releases(["b"]) == (training(1),)
    ledger.record_bare([Bare(BARE, "hash", frozenset("ab"))])
    first, second = ledger.entries()
    assert (first.content, second.content, second.subjects) == ("", "hash", first.subjects)
    assert [json.loads(row)["schema_version"] for row in (tmp_path / LEDGER).read_text().splitlines()] == [1, 2]


def test_whatever_byte_is_changed_it_is_found(ledger: PrivacyLedger, tmp_path: Path) -> None:
    """A bit of a line, or of the line break that ends it."""
    whole = (tmp_path / LEDGER).read_bytes()
    for byte in range(0, len(whole), 41):
        data = bytearray(whole)
        data[byte] ^= 1
        (tmp_path / LEDGER).write_bytes(data)
        with pytest.raises(RecordsError, match=r"privacy\.jsonl"):
            ledger.entries()


def test_an_entry_of_a_time_that_has_not_come_is_refused(ledger: PrivacyLedger, tmp_path: Path) -> None:
    """Clocks are set back by seconds; by an hour, the file or this clock is wrong."""
    assert len(ledger.entries()) == 3
    assert len(PrivacyLedger(tmp_path, lambda: NOON - timedelta(seconds=30)).entries()) == 3
    with pytest.raises(
        RecordsError, match=r"an entry of 2031-05-01T12:00:00\+00:00 in line 1, and it is 2031-05-01T11"
    ):
        PrivacyLedger(tmp_path, lambda: NOON - timedelta(hours=1)).entries()


def test_what_a_crash_cut_off_in_mid_line_was_never_recorded(ledger: PrivacyLedger, tmp_path: Path) -> None:
    with (tmp_path / LEDGER).open("ab") as file:
        file.write(b'{"kind": "trai')
    assert len(ledger.entries()) == 3
    ledger.record(training(4), ["a", "b"])
    assert len(ledger.entries()) == 4
