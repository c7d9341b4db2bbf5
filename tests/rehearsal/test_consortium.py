import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.rehearsal.consortium import ONE_THREAD, Consortium, wait_until
from tests.rehearsal.network import RehearsalError


@pytest.fixture
def consortium(tmp_path: Path) -> Consortium:
    """On hosts that end every command with 3."""

    def run(host: str, command: list[object], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], 3, f"{host}:", str(command[-1]))

    network = SimpleNamespace(
        name=lambda host: f"{host}.test",
        run=run,
        processes=lambda _host: {7: "flower-superexec --x", 5: "flower-superexec --x y", 6: "nginx"},
    )
    return Consortium(network, tmp_path)  # type: ignore[arg-type]


def test_every_host_has_a_home_of_its_own_and_one_thread(
    consortium: Consortium, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy")
    found = consortium.environment("center-a", {"EXTRA": "1"})
    assert (found["HOME"], found["EXTRA"]) == (str(tmp_path / "user" / "center-a"), "1")
    assert {found[name] for name in ONE_THREAD} == {"1"}
    assert "HTTPS_PROXY" not in found


def test_a_command_that_fails_is_shown_with_its_host_and_what_it_said(consortium: Consortium) -> None:
    with pytest.raises(RehearsalError, match=r"status` at coordinator ended with 3: coordinator:status"):
        consortium.coordinate("status")


def test_a_center_with_pet_says_so_when_it_joins(consortium: Consortium, tmp_path: Path) -> None:
    case = tmp_path / "data" / "center-b" / "case"
    case.mkdir(parents=True)
    (case / "pet.nii.gz").write_bytes(b"")
    commands = {
        center: consortium.join_command(center, Path("kit"), "--prepare") for center in ("center-a", "center-b")
    }
    assert {center: words[words.index("--modalities") + 1] for center, words in commands.items()} == {
        "center-a": "ct",
        "center-b": "ct+pet",
    }
    assert commands["center-a"][-1] == "--prepare"


def test_processes_are_known_by_all_the_words_of_their_command_line(consortium: Consortium) -> None:
    assert consortium.processes("center-a", "superexec", "--x") == [5, 7]
    assert consortium.processes("center-a", "superexec", "y") == [5]


def test_progress_is_empty_before_the_run_wrote_any(consortium: Consortium) -> None:
    assert consortium.progress() == {}
    consortium.directory.root.mkdir()
    consortium.directory.progress.write_text(json.dumps({"state": "complete"}))
    assert consortium.wait_state("failed", "complete", within_s=1) == {"state": "complete"}


def test_a_wait_that_is_in_vain_shows_the_ends_of_all_logs(consortium: Consortium) -> None:
    consortium.log("serve").write_text("x" * 5000 + "the last word")
    with pytest.raises(RehearsalError, match=r"(?s)the moon: not within 0 s.*the last word"):
        consortium.wait_until(lambda: False, "the moon", within_s=0)
    wait_until(lambda: True, "nothing", within_s=0)
