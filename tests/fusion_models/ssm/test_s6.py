"""One scan direction: how it starts, and the precision it runs in."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fusion_models.ssm.s6 import S6
from fusion_models.ssm.vss import SS2D
from tests.support.official_weights import inp


def test_s6_starts_as_published() -> None:
    s6 = S6(64, state=3, rank=4)
    assert torch.equal(s6.A_log, torch.tensor([1.0, 2.0, 3.0]).log().expand(64, 3))
    assert torch.equal(s6.D, torch.ones(64))
    assert 0.4 < s6.dt_proj.weight.abs().max() <= 0.5
    steps = F.softplus(s6.dt_proj.bias)
    assert 0.999e-3 < steps.min() < 3e-3
    assert 0.03 < steps.max() < 0.1001


def test_scans_run_in_float32_under_autocast_and_in_float64_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.dtype] = []

    def scan(u: Tensor, delta: Tensor, *others: Tensor, **options: bool) -> Tensor:
        seen.extend({x.dtype for x in (u, delta, *others)})
        return u

    monkeypatch.setattr("fusion_models.ssm.vss.selective_scan_fn", scan)
    net, x = SS2D(8, state=4), inp(0, (1, 2, 2, 8))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert net(x).dtype == torch.bfloat16
    assert net.double()(x.double()).dtype == torch.float64
    assert seen == [torch.float32, torch.float64]
