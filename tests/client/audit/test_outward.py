from pathlib import Path

from client.audit.outward import to_hand_on
from protocol.messages.audit import Mean, read_audit, write_audit
from tests.support.carded_study import audit_of, write_carded


def test_an_attack_on_few_of_a_kind_leaves_its_name_alone(tmp_path: Path) -> None:
    """The example has 7 who trained and 5 who did not."""
    audit = audit_of(write_carded(tmp_path))
    assert to_hand_on(audit, 5).suppressed == ()
    found = to_hand_on(audit, 6)
    assert (found.attacks, found.suppressed) == ((), ("loss-threshold",))
    write_audit(tmp_path / "a.json", found)
    assert read_audit(tmp_path / "a.json") == found
    assert "0.8" not in (tmp_path / "a.json").read_text()


def test_few_who_trained_withhold_an_attack_as_few_others_do(tmp_path: Path) -> None:
    audit = audit_of(write_carded(tmp_path))
    turned = audit.attacks[0].model_copy(update={"members": 4, "others": 9})
    assert to_hand_on(audit.model_copy(update={"attacks": (turned,)}), 5).suppressed == ("loss-threshold",)


def test_every_figure_that_leaves_has_two_decimals(tmp_path: Path) -> None:
    audit = audit_of(write_carded(tmp_path))
    fine = dict.fromkeys(("auc", "auc_low", "auc_high"), 0.123456)
    mean = Mean(value=0.123456, low=0.123456, high=0.123456)
    told = audit.attacks[0].told
    assert told is not None
    share = told.model_copy(update={"low": 0.123456, "high": 0.123456})
    figures = {**fine, "told": share, "mistaken": share, "error_of_members": mean, "error_of_others": mean}
    given = audit.model_copy(update={"attacks": (audit.attacks[0].model_copy(update=figures),)})
    text = to_hand_on(given, 5).model_dump_json()
    assert "0.123" not in text
    assert text.count("0.12") == 13


def test_what_the_center_has_stays_as_it_is(tmp_path: Path) -> None:
    audit = audit_of(write_carded(tmp_path))
    to_hand_on(audit, 6)
    assert audit == audit_of(write_carded(tmp_path / "again"))
