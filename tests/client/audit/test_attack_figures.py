from client.audit.attack_figures import as_attack
from protocol.messages.audit import Mean
from strategies.evaluation.membership import AttackFigures, GroupMeans
from strategies.evaluation.resampling import Interval

NONE = Interval(None, None, None)


def test_an_attack_that_cannot_be_judged_has_a_reason_and_no_number() -> None:
    told = as_attack("gram-sketch", AttackFigures("gram-sketch", 1, 0, 3, NONE, None, "too few"))
    assert (told.auc, told.told, told.one_percent, told.reason, told.undefined) == (None, None, None, "too few", 3)


def test_a_group_whom_nothing_reconstructs_has_no_error() -> None:
    figures = AttackFigures("gram-sketch", 1, 0, 3, NONE, None, "too few")
    told = as_attack("gram-sketch", figures, GroupMeans(Interval(0.25, 0.2, 0.3), NONE))
    assert (told.error_of_members, told.error_of_others) == (Mean(value=0.25, low=0.2, high=0.3), None)
