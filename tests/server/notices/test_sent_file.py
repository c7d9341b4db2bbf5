"""What was sent, over all starts."""

from pathlib import Path

import pytest

from protocol.errors import LaunchError
from server.notices.events import notice
from server.notices.sent_file import Sent, read_sent, write_sent
from tests.support.listed_link import NOW

LOST = notice("center-lost", "center-a@noon", "it is away", endpoint="c:443")
FULL = notice("disk-nearly-full", "/study", "1 GB", root="/study")


def test_what_was_sent_is_known_after_a_restart(tmp_path: Path):
    assert not read_sent(tmp_path / "notices.json").has(LOST, "email")
    write_sent(tmp_path / "notices.json", Sent().having(LOST, "email", NOW))
    found = read_sent(tmp_path / "notices.json")
    assert (found.has(LOST, "email"), found.has(LOST, "webhook"), found.has(FULL, "email")) == (True, False, False)


def test_a_disk_that_fills_again_is_told_again_and_a_center_that_was_lost_then_is_not():
    sent = Sent().having(FULL, "email", NOW).having(LOST, "email", NOW)
    assert sent.without_past([FULL]).has(FULL, "email")
    after = sent.without_past([])
    assert (after.has(FULL, "email"), after.has(LOST, "email")) == (False, True)


def test_a_damaged_file_is_named(tmp_path: Path):
    (tmp_path / "notices.json").write_text("{")
    with pytest.raises(LaunchError, match="every notice that still holds is then sent once more"):
        read_sent(tmp_path / "notices.json")
