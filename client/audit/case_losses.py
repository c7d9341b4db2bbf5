"""The loss of each case under a network, seen the same way by every network: what attacks by loss compare."""

import zlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from client.data.preprocessing import PreparedCase
from client.learning.cancellation import Check
from client.learning.features import evaluating
from client.tasks.contract import CenterTask, runnable_settings
from strategies.evaluation.matrix import Floats

LOOKS = 2
"""How often a case's passes are drawn: the crops of one look may all miss the lesion."""


def case_losses(
    model: nn.Module, task: CenterTask, cases: Sequence[PreparedCase], model_settings: Sequence[str], check: Check
) -> Floats:
    """Mean loss of each case under its fullest setting, (n,); NaN where network and task allow none.

    The crops of a case follow from its name: every network is shown the same ones.
    """
    with evaluating(model), torch.no_grad():
        return np.array([_loss(model, task, case, model_settings, check) for case in cases])


def _loss(model: nn.Module, task: CenterTask, case: PreparedCase, model_settings: Sequence[str], check: Check) -> float:
    check()
    able = runnable_settings(task, case, model_settings)[-1:]
    if not able or not task.has_target(case):
        return float("nan")
    rng = np.random.default_rng(zlib.crc32(case.name.encode()))
    device = next(model.parameters()).device
    batches = [batch for _ in range(LOOKS) for batch in task.passes(case, able, device, rng)]
    return float(np.mean([task.loss(model, batch)[0].item() for batch in batches]))
