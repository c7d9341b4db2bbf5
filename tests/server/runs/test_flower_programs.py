"""The coordinator's programs of Flower's: how they are named and what they refuse."""

import sys
from pathlib import Path

import pytest

from server.runs import flower_programs
from server.runs.flower_programs import main, superexec_command, superlink_command


def test_commands_name_program_and_directory_before_flowers_options() -> None:
    assert superlink_command(Path("/study"), "--host", "x")[-4:] == ("superlink", "/study", "--host", "x")
    assert superexec_command(Path("/study"))[-2:] == ("superexec", "/study")


@pytest.mark.parametrize("words", [[], ["superlink"], ["clientapp", "/study"]])
def test_anything_else_is_refused_with_what_there_is(words: list[str], caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 1
    assert "give one of superlink, superexec, serverapp, a study's directory" in caplog.text


def test_a_program_sees_flowers_options_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Path, list[str]]] = []
    monkeypatch.setattr("sys.argv", ["python"])
    monkeypatch.setitem(
        flower_programs.PROGRAMS,
        "superlink",
        lambda root: seen.append((root, list(sys.argv))),
    )
    main(["superlink", "/study", "--host", "x"])
    assert seen == [(Path("/study"), ["superlink", "--host", "x"])]


def test_what_the_superlink_starts_has_time_to_load_before_it_serves(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    done: list[str] = []
    monkeypatch.setattr(flower_programs, "listen_privately", str)
    monkeypatch.setattr(flower_programs, "proxy_account", lambda: None)
    monkeypatch.setattr(flower_programs, "module_of", str)
    monkeypatch.setattr(flower_programs, "leave_out_routine_lines", lambda: None)
    monkeypatch.setattr(flower_programs, "give_time_to_start", lambda state, _prolong: done.append(state.__name__))
    monkeypatch.setattr(flower_programs, "serve_at", lambda *_: done.append("serves"))
    monkeypatch.setattr(flower_programs, "flower_superlink", lambda: done.append("runs"))
    flower_programs.run_superlink(tmp_path)
    assert done == ["SqlLinkState", "serves", "runs"]
