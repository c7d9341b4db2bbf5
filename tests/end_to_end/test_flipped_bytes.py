"""A byte that changes in any file of a home or a study's directory is noticed and named, or changes no result."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from client.data.cache_file import DamagedCacheError, read_cached
from client.data.manifest_file import read_manifest
from client.data.split_file import fixed_parts
from client.home.backbone_store import BackboneStore
from client.outgoing.ledger import LedgerError, read_ledger
from client.privacy.privacy_ledger import PrivacyLedger
from client.report.prediction_file import read_arrays
from client.scores.calibration_rows import read_calibration
from client.scores.score_rows import read_rows
from protocol.errors import ConciliumError, StorageError
from protocol.storage.chain_check import check_chain
from protocol.storage.sealed_json import unseal
from server.results.result import read_result
from server.study import checkpoint
from server.study.audit_log import read_events
from server.study.directory import StudyDirectory, read_prepared
from server.study.file import read_study
from strategies.bank.bank import AdapterBank

Read = Callable[[Path, Path], object]
FLIPS = 4
"""In each file, at places drawn anew for each."""


def ledger_of(home: Path, _path: Path) -> object:
    """The lines, where the chain holds."""
    ledger = read_ledger(home)
    if not ledger.is_whole:
        raise LedgerError("a line does not stand as it was written")
    return ledger.sent


def privacy_ledger_of(home: Path, _path: Path) -> object:
    """What left, of the center's own patients."""
    ledger = PrivacyLedger(home)
    return ledger.entries(), ledger.releases()


def split_of(home: Path, _path: Path) -> object:
    study = read_study(home.parent.parent / "study.toml")
    return fixed_parts(read_manifest(home / "manifest.json"), study.settings, home)


def stage_cases_of(_home: Path, path: Path) -> object:
    try:
        return unseal(path.read_bytes())
    except ValueError as error:
        raise StorageError(str(error)) from error


def bank_of(root: Path, _path: Path) -> object:
    bank = AdapterBank(root / "bank")
    entries = bank.entries()
    heads = [bank.head(name).version for name in bank.names()]
    found = [{key: array.tobytes() for key, array in bank.tensors(entry).items()} for entry in entries]
    backbones = [{key: array.tobytes() for key, array in bank.backbone(entry.backbone).items()} for entry in entries]
    return entries, heads, found, backbones


def prepared_of(root: Path, _path: Path) -> object:
    prepared = read_prepared(root)
    initial = {key: array.tobytes() for key, array in prepared.initial.items()}
    return prepared.study, prepared.specs, initial, prepared.adapter_config


def checkpoint_of(_root: Path, path: Path) -> object:
    state = checkpoint.load(path)
    assert state is not None
    return bytes_of(state.shared), bytes_of(state.memory), state.history, state.tracking


def stage_states_of(root: Path, path: Path) -> object:
    """All of them: a byte of the history may be one that only the last of them counts."""
    return [checkpoint_of(root, state) for state in sorted(path.parent.glob("*.safetensors"))]


def audit_of(root: Path, _path: Path) -> object:
    """The events, where the chain holds."""
    if check_chain(root / "audit.jsonl").broken:
        raise StorageError("a line does not stand as it was written")
    return read_events(root / "audit.jsonl")


def bytes_of(arrays: object) -> object:
    """Arrays as what can be compared."""
    assert isinstance(arrays, dict)
    return {key: array.tobytes() for key, array in arrays.items()}


HOME: dict[str, Read] = {
    "manifest.json": lambda _home, path: read_manifest(path),
    "split-*.json": split_of,
    "scores.json": lambda _home, path: read_rows(path),
    "cohorts.json": lambda _home, path: read_rows(path),
    "calibration.json": lambda _home, path: read_calibration(path),
    "cache/*": lambda _home, path: bytes_of(read_cached(path)),
    "stage-cases.json": stage_cases_of,
    "backbones/*": lambda home, path: bytes_of(BackboneStore(home / "backbones").get(path.stem)),
    "predictions/*/*": lambda _home, path: bytes_of(read_arrays(path)),
    "outgoing.jsonl": ledger_of,
    "outgoing.head": ledger_of,
    **dict.fromkeys(("privacy.jsonl", "privacy.head", "cases.key"), privacy_ledger_of),
}
STUDY: dict[str, Read] = {
    **dict.fromkeys(("study.toml", "tensors.json", "initial.safetensors", "adapter_config.json"), prepared_of),
    "recipe.json": prepared_of,
    "checksums.json": prepared_of,
    "checkpoint.safetensors": checkpoint_of,
    "history.jsonl": lambda root, _path: checkpoint_of(root, root / "checkpoint.safetensors"),
    "stages/*.safetensors": checkpoint_of,
    "stages/history.jsonl": stage_states_of,
    **dict.fromkeys(("audit.jsonl", "audit.head"), audit_of),
    "result.json": lambda _root, path: read_result(path),
    "bank/study.json": bank_of,
    "bank/backbones/*": bank_of,
    "bank/adapters/*/HEAD": bank_of,
    "bank/adapters/*/*/*": bank_of,
}
WITHOUT_EFFECT = {
    "report.html",
    "evaluation_matrix.json",
    "study.lock",
    "outgoing.lock",
    "audit.lock",
    "privacy.lock",
    "privacy.spend",
    "mlflow.db",
    "mlflow.id",
}
"""Pages, copies of figures, locks and the tracking store: written, and read by nothing that makes a result."""


@pytest.fixture(scope="module")
def copied(finished: StudyDirectory, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("flipped") / "out"
    shutil.copytree(finished.root, root, ignore=shutil.ignore_patterns("mlartifacts"))
    return root


def test_every_file_has_a_reader_that_checks_it_or_no_effect(copied: Path) -> None:
    homes = list((copied / "centers").iterdir())
    known = {path for name in STUDY for path in copied.glob(name)}
    known |= {path for home in homes for name in HOME for path in home.glob(name)}
    others = {path.name for path in copied.rglob("*") if path.is_file() and path not in known}
    assert others <= WITHOUT_EFFECT


@pytest.mark.parametrize("name", STUDY)
def test_a_byte_of_a_study_s_directory(copied: Path, name: str) -> None:
    check(copied, name, STUDY[name])


@pytest.mark.parametrize("name", HOME)
def test_a_byte_of_a_home(copied: Path, name: str) -> None:
    check(copied / "centers" / "center-a", name, HOME[name])


def check(root: Path, name: str, read: Read) -> None:
    """Flip a bit at some places of each file and read: an error of ours, or what was read before."""
    rng, paths = random.Random(name), sorted(path for path in root.glob(name) if path.is_file())
    assert paths
    for path in paths[:3]:
        content, expected = path.read_bytes(), read(root, path)
        for place in [0, len(content) - 1, *(rng.randrange(len(content)) for _ in range(FLIPS - 2))]:
            changed = bytearray(content)
            changed[place] ^= 1 << rng.randrange(8)
            path.write_bytes(changed)
            try:
                assert read(root, path) == expected, f"{path} at byte {place}"
            except (ConciliumError, DamagedCacheError):
                pass
            finally:
                path.write_bytes(content)
