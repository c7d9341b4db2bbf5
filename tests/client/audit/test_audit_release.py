"""What a center hands on of an audit is in its ledger for life, and nothing there guarantees it."""

import hashlib
from pathlib import Path

from client.audit.audit_release import record_release, studies_that_promised
from client.privacy.ledger_file import Promise
from client.privacy.privacy_ledger import PrivacyLedger
from client.privacy.release import Release
from client.privacy.unguaranteed import unguaranteed_of
from protocol.messages.audit import write_audit
from tests.support.carded_study import audit_of, write_carded


def test_the_entry_is_of_the_file_to_the_bit_and_of_all_who_were_looked_at(tmp_path: Path) -> None:
    audit = audit_of(write_carded(tmp_path))
    record_release(tmp_path, audit, ["case", "patient"], "adapt", 9)
    write_audit(tmp_path / "audit.json", audit)
    (entry,) = PrivacyLedger(tmp_path).entries(["patient"])
    assert (entry.release.kind, entry.release.mechanism, entry.promise) == ("audit", "none", None)
    assert (entry.release.study, entry.release.stage, entry.release.server_round) == ("demo", "adapt", 9)
    assert entry.content == hashlib.sha256((tmp_path / "audit.json").read_bytes()).hexdigest()
    assert len(entry.subjects) == 2


def test_the_same_file_is_one_release_and_another_one_a_second(tmp_path: Path) -> None:
    audit = audit_of(write_carded(tmp_path))
    for each in (audit, audit, audit_of(write_carded(tmp_path / "other"), shadows=4)):
        record_release(tmp_path, each, ["case"], "adapt", 9)
    assert len(PrivacyLedger(tmp_path).entries()) == 2


def test_it_is_of_patients_who_train_and_stands_among_what_nothing_guarantees(tmp_path: Path) -> None:
    """A promise to one of them is broken by nothing that has no cost, and is worth nothing for it."""
    release = Release("training", "subsampled-gaussian", 9.0, 0.1, 1, "earlier", "adapt", 1)
    PrivacyLedger(tmp_path).spend(release, ["case"], Promise(8, 1e-3))
    record_release(tmp_path, audit_of(write_carded(tmp_path)), ["case", "other"], "adapt", 9)
    (found,) = unguaranteed_of(PrivacyLedger(tmp_path).entries())
    assert (found.kind, found.releases, found.of_promised, found.studies) == ("audit", 1, 1, ("demo",))
    assert PrivacyLedger(tmp_path).releases()[-1].is_unprotected
    assert studies_that_promised(tmp_path, ["case", "other"]) == ("earlier",)
    assert studies_that_promised(tmp_path, ["other"]) == ()
