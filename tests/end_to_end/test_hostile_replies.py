"""One center of four sends every hostile reply that we know: the study completes as if it had not answered at all."""

import io
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from flwr.app import RecordDict
from rich.console import Console

from protocol.messages.tensors import content_hash
from server.runs.progress_file import ProgressFile
from server.study.display import Display
from server.study.events import tell_all
from server.study.file import read_study
from tests.support.hostile_center import HOSTILE, Asked, absent_in, hostile_study
from tests.support.hostile_replies import HOSTILE_REGISTRATIONS, HOSTILE_UPDATES
from tests.support.light_study import Light
from tests.support.reply_damage import Hostile

NAMED = (
    "error: rich markup",
    "error: ansi colours",
    "error: 1 MB",
    "seconds: 1e308",
    "scores: Dice 7",
    "scores: Dice 1e308",
    "packed: a header nested 10,000 deep",
    "packed: a dimension of 2^63",
    "packed: no bytes in dimensions 0 and 2^63",
    "packed: 65 dimensions without bytes",
    "packed: true as a size",
    "packed: a hundred thousand unknown tensors",
)
"""Those that once ended a run, held it up or were believed."""
CHOSEN = dict.fromkeys([*NAMED, *list(HOSTILE_UPDATES)[::6]])
ROUNDS = dict(enumerate(CHOSEN, start=2))
"""Round -> hostile reply; in the first round and in the last the center is honest. The whole table passes through the
grid in `tests/server/grid/test_transport.py`, which costs no rounds."""
LAST = len(ROUNDS) + 2


def run_watched(found: Light) -> str:
    """Run a study as the ServerApp does, with its screen and its progress file; what the screen shows."""
    study, screen = read_study(found.directory.study_file), io.StringIO()
    console = Console(file=screen, width=200, force_terminal=True)
    with ProgressFile(found.directory, study, "1") as progress, Display(study, console) as display:
        found.run(tell_all(progress.listen, display.listen))
    return screen.getvalue()


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Light:
    """The study after the attack."""
    asked: Mapping[Asked, Hostile] = {
        ("train", "adapt", number): HOSTILE_UPDATES[name] for number, name in ROUNDS.items()
    }
    found = hostile_study(tmp_path_factory.mktemp("attacked"), asked, rounds=LAST)
    log = logging.StreamHandler(found_log := io.StringIO())
    logging.getLogger().addHandler(log)
    try:
        screen = run_watched(found)
    finally:
        logging.getLogger().removeHandler(log)
    (found.root / "screen.txt").write_text(screen)
    (found.root / "log.txt").write_text(found_log.getvalue())
    return found


def test_every_hostile_reply_costs_its_center_that_round_and_nobody_else_anything(attacked: Light) -> None:
    errors = {number: error for number, center, error in attacked.errors if center == HOSTILE}
    assert [ROUNDS[number] for number in ROUNDS if not errors[number]] == []
    assert (errors[1], errors[LAST]) == ("", "")
    assert {error for _, center, error in attacked.errors if center != HOSTILE} == {""}


def test_the_result_is_that_of_a_study_in_which_the_center_was_absent_bit_for_bit(
    attacked: Light, tmp_path: Path
) -> None:
    absent = hostile_study(tmp_path, {}, rounds=LAST)
    absent.centers[HOSTILE].before = absent_in(ROUNDS)
    absent.run()
    assert content_hash(attacked.state.shared) == content_hash(absent.state.shared)
    assert attacked.hashes == absent.hashes
    assert '"status": "complete"' in (attacked.root / "result.json").read_text()


def test_each_hostile_reply_is_named_in_the_log_with_its_center(attacked: Light) -> None:
    """A reply without an update is a code of the record alone, which the screen shows."""
    log = (attacked.root / "log.txt").read_text()
    assert sum(f"center '{HOSTILE}'" in line for line in log.splitlines()) >= len(ROUNDS) - 1
    assert max(map(len, log.splitlines())) < 5000


def test_nothing_of_a_hostile_reply_reaches_screen_log_or_result_unescaped(attacked: Light) -> None:
    for name in ("log.txt", "result.json", "progress.json", "report.html"):
        text = (attacked.root / name).read_text()
        assert [
            sign for sign in ("\x1b", "\x07", "\u202e", "\u200b", "[/x]\x1b", "<script>alert(1)") if sign in text
        ] == []
    assert "\x1b[31mred" not in (attacked.root / "screen.txt").read_text()


def test_a_center_that_registers_with_anything_but_counts_is_left_out(tmp_path: Path) -> None:
    """It is asked again before each round and answers with the next of the table."""
    replies = iter(HOSTILE_REGISTRATIONS.values())

    def next_of_the_table(content: RecordDict) -> RecordDict:
        change: Callable[[RecordDict], RecordDict] = next(replies)
        return change(content)

    found = hostile_study(tmp_path, {("register", "", 0): next_of_the_table}, rounds=len(HOSTILE_REGISTRATIONS) - 1)
    found.run()
    assert {error for _, center, error in found.errors if center == HOSTILE} == {"no-answer"}
    assert {error for _, center, error in found.errors if center != HOSTILE} == {""}
    assert next(replies, None) is None


def test_a_run_that_is_resumed_does_not_meet_it_again(attacked: Light) -> None:
    """Nothing of the replies is in the checkpoint or the inbox: what is left to do is nothing, and is done."""
    before = content_hash(attacked.state.shared)
    attacked.run()
    assert content_hash(attacked.state.shared) == before
    assert list((attacked.root / "inbox").glob("0*")) == []
