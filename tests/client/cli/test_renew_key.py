"""`concilium-center renew-key` says where the answer lies and what to do with it."""

from pathlib import Path

from typer.testing import CliRunner

from client.cli.app import app
from client.home.center_home import CenterHome
from protocol.enrolment.answer import RENEWAL
from tests.support.joined_home import answer_in, joined_home


def test_the_answer_for_the_coordinator_is_named_and_asks_for_the_next_key(tmp_path: Path) -> None:
    home: CenterHome = joined_home(tmp_path / "home")
    result = CliRunner().invoke(app, ["renew-key", "--home", str(home.root)])
    assert result.exit_code == 0, result.output
    assert str(home.answer("center-a")) in result.output.replace("\n", "")
    assert answer_in(home).serial == RENEWAL
    assert answer_in(home).public_key == home.next_key.with_name("key.next.pub").read_text().strip()
