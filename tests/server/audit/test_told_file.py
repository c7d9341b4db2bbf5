"""A file that is written as a whole is what its last event announced, or what a kill left of the one before."""

from pathlib import Path

import pytest

from server.audit.told_file import digest_at, tells_every_file, told_file_findings
from server.study.audit_log import AuditEvent
from strategies.bank.told import EVERY_FILE, digest

OLD, NEW = (
    AuditEvent(number, "", "", "run", "result", {"sha256": digest(data)}) for number, data in ((2, b"1"), (3, b"2"))
)
MADE = AuditEvent(1, "", "", "run", "bank", {"sha256": "", **EVERY_FILE})
EARLIER = AuditEvent(1, "", "", "run", "bank", {"sha256": ""})
ENDED = AuditEvent(4, "", "", "run", "ended", {})


@pytest.mark.parametrize(
    ("there", "events", "expected"),
    [
        (b"2", (MADE, OLD, NEW, ENDED), []),
        (b"1", (MADE, OLD, NEW), ["unfinished"]),
        (b"1", (MADE, OLD, NEW, ENDED), ["broken"]),
        (b"3", (MADE, OLD, NEW), ["broken"]),
        (None, (MADE, OLD), ["unfinished"]),
        (None, (MADE, OLD, NEW), ["broken"]),
        (None, (MADE,), []),
        (b"1", (MADE,), ["broken"]),
        (b"1", (EARLIER,), []),
        (b"1", (EARLIER, NEW), ["unfinished"]),
    ],
)
def test_the_file_is_held_against_its_events(
    there: bytes | None, events: tuple[AuditEvent, ...], expected: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "result.json"
    if there is not None:
        path.write_bytes(there)
    assert [found.weight for found in told_file_findings(path, "result", events)] == expected


def test_a_log_tells_every_file_where_its_bank_says_so_or_none_is_made_yet() -> None:
    assert [tells_every_file(events) for events in ((EARLIER, MADE), (EARLIER, OLD), ())] == [True, False, True]


def test_what_cannot_be_read_has_no_digest_that_an_event_announced(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    assert digest_at(tmp_path / "missing") == ""
    assert digest_at(tmp_path / "link") == "a link to nothing"
    assert "directory" in digest_at(tmp_path)
