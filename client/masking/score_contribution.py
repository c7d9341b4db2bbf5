"""A center's rows of a sum of scores or comparisons, from what of its answer may leave it.

What is withheld for too few cases is withheld before, and rounded (`client.outgoing`): a sum that only one center could
be told from would tell no more than a figure that leaves in the open.
"""

from client.masking.contribution import Rows
from protocol.errors import SecureSumError
from protocol.messages.reply import Reply
from protocol.messages.secure_sum import SumPlan, scheme_of_scores
from protocol.tasks import TaskName
from strategies.secure_sum.fixed_point import Values
from strategies.secure_sum.score_rows import COMPARISON, comparison_row, figure_row, parts_of_name, weight_in


def contribute_scores(reply: Reply, plan: SumPlan, task: TaskName) -> Rows:
    """The rows of all figures that a plan sums; of zeros those that the center has not, or holds back.

    Args:
        reply: to `evaluate` or `compare`, what of it may leave.
        plan: of the sum.
        task: that a comparison is about.

    Raises:
        SecureSumError: the plan is of something else, or sums what is no figure.
    """
    if reply.kind not in {"evaluate", "compare"} or plan.scheme != scheme_of_scores(reply.kind, task):
        raise SecureSumError(f"a sum '{plan.scheme}' was asked of an answer to '{reply.kind}'; nothing is masked")
    rows = {name: _row(reply, plan, name, weight_in(plan, name, reply.center)) for name in plan.weights}
    return Rows(rows, tuple(sorted(name for name, row in rows.items() if row[1])))


def _row(reply: Reply, plan: SumPlan, name: str, weight: float) -> Values:
    if reply.kind == "evaluate":
        setting, _ = parts_of_name(name)
        return figure_row(name, {str(key): score for key, score in reply.scores.items()}.get(setting), weight)
    if name != COMPARISON or plan.harm is None:
        raise SecureSumError(f"a sum of comparisons has row '{name}', expected '{COMPARISON}' and when one harms")
    return comparison_row(reply.comparison, weight, plan.harm)
