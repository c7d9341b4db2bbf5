from pathlib import Path

from client.audit.audit_log import record_audit
from client.report.audit_section import attack_line, audit_section
from protocol.messages.audit import Attack, Mean, Share
from tests.support import center_page
from tests.support.carded_study import audit_of, write_carded
from tests.support.example_result import visible_text

FEW = Attack(
    attack="loss-threshold",
    members=7,
    others=5,
    undefined=1,
    auc=0.8,
    auc_low=0.55,
    auc_high=0.97,
    one_percent=False,
    told=Share(found=3, of=7, low=0.1, high=0.82),
    mistaken=Share(found=0, of=5, low=0, high=0.53),
)


def test_an_attack_on_few_others_says_which_rate_it_leaves_open() -> None:
    line = attack_line(FEW)
    assert (line.auc, line.patients) == ("0.80 [0.55, 0.97]", "7 who trained, 5 who did not, 1 without a score")
    assert line.told == (
        "3 of 7 [10%, 82%] where none of 5 others is mistaken, a rate of up to 53%; one of 1 % needs 100"
    )


def test_an_attack_on_many_says_how_many_others_are_mistaken() -> None:
    many = FEW.model_copy(update={"one_percent": True, "mistaken": Share(found=2, of=200, low=0, high=0.04)})
    assert attack_line(many).told == "3 of 7 [10%, 82%] where 2 of 200 others are mistaken"


def test_an_attack_that_cannot_be_judged_has_its_reason() -> None:
    nothing = {"auc": None, "auc_low": None, "auc_high": None, "told": None, "mistaken": None, "reason": "too few"}
    line = attack_line(FEW.model_copy(update=nothing))
    assert (line.auc, line.told) == ("undefined", "too few")


def test_a_statistic_shows_how_badly_it_reconstructs_both_groups() -> None:
    errors = {
        "error_of_members": Mean(value=0.1, low=0.05, high=0.2),
        "error_of_others": Mean(value=0.5, low=0.4, high=0.6),
    }
    gram = FEW.model_copy(update={"attack": "gram-sketch", **errors})
    assert attack_line(gram).error == (
        "0.1000 [0.0500, 0.2000] who trained, 0.5000 [0.4000, 0.6000] who did not; "
        "share of a patient's inputs that is not spanned"
    )
    assert attack_line(FEW).error == ""


def test_a_private_study_says_why_statistics_are_not_there_and_a_candidate_what_was_answered(tmp_path: Path) -> None:
    audited = audit_of(write_carded(tmp_path))
    private, asked = (audited.model_copy(update=more) for more in ({"private": True}, {"answered": "leak"}))
    ((private_title, _), (asked_title, _)) = audit_section([private, asked])[0].audits
    assert "no Gram sketch and no prototype leaves" in private_title
    assert asked_title.endswith("it was not compared, and the coordinator heard leak")


def test_without_an_audit_there_is_no_section() -> None:
    assert audit_section(()) == []


def test_the_centers_own_page_shows_what_was_found(tmp_path: Path) -> None:
    record_audit(tmp_path, audit_of(write_carded(tmp_path / "study")))
    page = center_page.write_page(tmp_path, (center_page.case("one", "ct"),), [], "center-a", "by hand")
    text = visible_text(page)
    assert "What adapters give away" in text
    assert "Loss threshold 0.80 [0.55, 0.97]" in text
