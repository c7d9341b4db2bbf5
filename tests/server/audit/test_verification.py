"""A byte that changes anywhere is found and named; so is a log that was cut or written anew, where a head was kept."""

import shutil
from pathlib import Path

import pytest

from protocol.storage.sealed_json import read_sealed, seal
from server.audit.signed_head import SignedHead
from server.audit.verification import verify
from server.cli.bank import log_beside
from server.study.directory import StudyDirectory
from strategies.bank.bank import AdapterBank
from tests.support.audited_study import finished_study, found_in, log_lines, texts_of, write_anew

PLACES = (
    "audit.jsonl",
    "checkpoint.safetensors",
    "stages/0001.safetensors",
    "bank/study.json",
    "bank/adapters/shared/HEAD",
    "bank/adapters/shared/0001/adapter_model.safetensors",
    "bank/adapters/shared/0002/entry.json",
    "bank/adapters/shared/0002/adapter_config.json",
    "study.toml",
    "initial.safetensors",
    "checksums.json",
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_study(tmp_path_factory.mktemp("audited")).root


@pytest.fixture
def root(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "out"))


def test_a_study_that_nobody_touched_is_whole(root: Path) -> None:
    """Without an authority nothing of it is signed, and that is no finding."""
    found = verify(StudyDirectory(root))
    assert (found.findings, found.signed, found.authority) == ((), None, "")
    names = [event.event for event in found.events]
    assert (names.count("round"), names.count("version"), names[-1]) == (4, 6, "ended")


@pytest.mark.parametrize("place", PLACES)
def test_a_changed_bit_is_found_and_named(place: str, root: Path) -> None:
    """In the middle of each file; of a file of the bank, its folder or itself is named."""
    path = root / place
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    if place == "study.toml":  # whatever became of it, it is no study any more, or not the one that was prepared
        content[len(content) // 2] ^= 1
        path.write_bytes(bytes(content) + b"\n")
    findings = found_in(root)
    assert findings
    assert {weight for weight, _ in findings} == {"broken"}
    named = [what for _, what in findings]
    assert any(place.startswith(what.split(" ")[0]) or what == str(root) for what in named), named


def seal_anew(path: Path, change: dict[str, object]) -> None:
    path.write_bytes(seal({**read_sealed(path), **change}))


@pytest.mark.parametrize(
    ("place", "change"),
    [
        ("bank/adapters/shared/HEAD", {"version": 1}),
        ("bank/adapters/a/0002/entry.json", {"parent": "a/0009"}),
        ("bank/study.json", {"extra": 1}),
    ],
)
def test_a_file_that_was_sealed_anew_is_found_all_the_same(place: str, change: dict[str, object], root: Path) -> None:
    seal_anew(root / place, change)
    assert ("broken", place) in found_in(root)


def test_a_version_that_nobody_made_and_one_that_is_gone_are_found(root: Path) -> None:
    folder = root / "bank" / "adapters" / "b"
    shutil.copytree(folder / "0002", folder / "0003")
    shutil.rmtree(folder / "0001")
    assert found_in(root) == [("broken", "bank/adapters/b/0003"), ("broken", "bank/adapters/b/0001")]


def test_an_earlier_checkpoint_put_back_is_found(root: Path) -> None:
    shutil.copy(root / "stages" / "0001.safetensors", root / "checkpoint.safetensors")
    assert found_in(root) == [("broken", "checkpoint.safetensors")]


def test_a_log_that_is_gone_is_found(root: Path) -> None:
    (root / "audit.jsonl").unlink()
    assert found_in(root) == [("broken", "audit.jsonl")]


def test_a_tail_that_was_cut_off_is_found_by_what_it_spoke_of(root: Path) -> None:
    """Log and head written anew without the last stage: the chain is whole, the bank tells."""
    log = root / "audit.jsonl"
    lines = log_lines(log)
    write_anew(log, lines[:20])
    assert {("broken", "bank/adapters/shared/0002"), ("broken", "checkpoint.safetensors")} <= set(found_in(root))


def test_a_tail_that_nothing_else_tells_of_is_found_by_a_head_that_was_kept(root: Path) -> None:
    log = root / "audit.jsonl"
    head = verify(StudyDirectory(root)).chain.head
    write_anew(log, log_lines(log)[:-1])
    assert found_in(root) == []
    kept = SignedHead(study="light", lines=35, head=head, signed_at="then", authority="")
    for found in (verify(StudyDirectory(root), kept=[kept]), verify(StudyDirectory(root), noted=[head])):
        assert "it was cut, or written anew" in texts_of(found)


def test_a_rollback_by_hand_is_an_event(root: Path) -> None:
    AdapterBank(root / "bank", log_beside(root / "bank")).rollback("shared", 1)
    found = verify(StudyDirectory(root))
    assert found.findings == ()
    assert (found.events[-1].event, found.events[-1].facts["reference"]) == ("head", "shared/0001")


def test_a_rollback_that_a_kill_broke_off_is_explained(root: Path) -> None:
    """The event stands, HEAD did not move: given again, all is whole."""
    log_beside(root / "bank")("head", {"adapter": "shared", "version": 1, "reference": "shared/0001", "sha256": ""})
    assert found_in(root) == [("unfinished", "bank/adapters/shared/HEAD")]
    AdapterBank(root / "bank", log_beside(root / "bank")).rollback("shared", 1)
    assert found_in(root) == []
