"""What is found out for the checks when one first asks, and what is not known without a kit, a key or a folder."""

import subprocess
from pathlib import Path
from typing import Any, Literal

import pytest

from client.home.center_home import CenterHome, CenterSettings, membership_of
from client.join import situation as module
from client.join.contact import Contact
from client.join.findings import ok
from client.join.situation import KeyStanding, Situation
from client.node.node_key import provide_node_key
from tests.support.coordinator_stand_in import Certified, kit


@pytest.fixture
def home(tmp_path: Path) -> CenterHome:
    found = CenterHome(tmp_path / "home")
    found.make_folders()
    return found


class Reached(Situation):
    """A coordinator that answers about the key what `words` hold, one after another."""

    def __init__(self, home: CenterHome, words: list[KeyStanding], certified: Certified, **changes: Any) -> None:
        super().__init__(home, ok("kit"), membership_of(kit("localhost:1")), certified.authority, **changes)
        from cryptography import x509

        shown = x509.load_pem_x509_certificate(certified.certificate.read_bytes())
        self.__dict__["contact"] = Contact("localhost", 1, presented=shown)
        self.__dict__["words"] = words

    def _ask(self) -> KeyStanding:
        found: KeyStanding = self.__dict__["words"].pop(0)
        return found


def test_without_a_kit_nobody_is_reached_or_asked(home: CenterHome) -> None:
    bare = Situation(home, ok("kit"))
    assert (bare.contact, bare.key_standing, bare.manifest, bare.node_id) == (None, None, None, 0)


def test_without_a_key_the_coordinator_is_not_asked_about_it(home: CenterHome, certified: Certified) -> None:
    assert Reached(home, [], certified).key_standing is None


def test_the_number_of_an_accepted_key_is_kept(home: CenterHome, certified: Certified) -> None:
    provide_node_key(home.key)
    of = Reached(home, [KeyStanding("accepted", 7)], certified)
    assert (of.key_standing, of.node_id) == (KeyStanding("accepted", 7), 7)


@pytest.mark.parametrize("word", ["online", "down", "unreachable"])
def test_a_key_connected_elsewhere_and_a_superlink_that_is_away_have_time(
    home: CenterHome, certified: Certified, monkeypatch: pytest.MonkeyPatch, word: Literal["online", "down"]
) -> None:
    monkeypatch.setattr(module, "ASK_AGAIN_S", 0)
    provide_node_key(home.key)
    words = [KeyStanding(word), KeyStanding(word), KeyStanding("accepted", 7)]
    assert Reached(home, words, certified).key_standing == KeyStanding("accepted", 7)


def contacts(monkeypatch: pytest.MonkeyPatch, *errors: str) -> list[str]:
    """A coordinator found with these errors, one after another; gives the list of those not asked for yet."""
    left = list(errors)
    monkeypatch.setattr(module, "ASK_AGAIN_S", 0)
    monkeypatch.setattr(module, "make_contact", lambda *_: Contact("localhost", 1, connect_error=left.pop(0)))
    return left


@pytest.mark.parametrize(
    ("node_id", "home_error", "found"), [("7", "", ""), ("", "", "refused"), ("7", "in use", "refused")]
)
def test_a_coordinator_that_refuses_is_waited_for_where_it_was_reached_before(
    home: CenterHome,
    certified: Certified,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    node_id: str,
    home_error: str,
    found: str,
) -> None:
    """Its proxy goes with it: seen in a federation, where `join` ended while `serve` was started again."""
    left = contacts(monkeypatch, "refused", "refused", "")
    home.node_id.write_text(node_id)
    membership = membership_of(kit("localhost:1"))
    contact = Situation(home, ok("kit"), membership, certified.authority, home_error=home_error).contact
    assert contact is not None
    assert (contact.connect_error, len(left)) == (found, 2 if found else 0)
    assert ("waits 240 s" in caplog.text) is not bool(found)


def test_the_wait_for_a_coordinator_ends(
    home: CenterHome, certified: Certified, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = contacts(monkeypatch, *["refused"] * 3)
    home.node_id.write_text("7")
    moments = iter([0.0, 1.0, 300.0])
    monkeypatch.setattr("client.join.situation.time.monotonic", lambda: next(moments))
    contact = Situation(home, ok("kit"), membership_of(kit("localhost:1")), certified.authority).contact
    assert contact is not None
    assert (contact.connect_error, len(left)) == ("refused", 1)


def test_a_home_in_use_is_not_waited_for(home: CenterHome, certified: Certified) -> None:
    provide_node_key(home.key)
    of = Reached(home, [KeyStanding("online"), KeyStanding("accepted", 7)], certified, home_error="in use")
    assert of.key_standing == KeyStanding("online")


@pytest.mark.parametrize("text", ["", "no number"])
def test_a_number_that_cannot_be_read_is_not_known(home: CenterHome, text: str) -> None:
    home.node_id.write_text(text)
    assert Situation(home, ok("kit")).node_id == 0


def test_a_probe_of_the_gpu_that_fails_is_no_gpu(home: CenterHome, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: Any, **__: Any) -> Any:
        raise subprocess.TimeoutExpired("probe", 1)

    monkeypatch.setattr(subprocess, "run", run)
    assert Situation(home, ok("kit")).gpu == {"cuda": False}


def test_the_cases_are_those_of_the_settings_folders(home: CenterHome, cohort: Path) -> None:
    settings = CenterSettings(data=(cohort / "center-a",))
    manifest = Situation(home, ok("kit"), settings=settings).manifest
    assert manifest is not None
    assert len(manifest.usable) == 3
