"""The platform's norm of fusion modules: each case by itself."""

import torch

from fusion_models.vmambax.norms import group_norm


def test_a_case_is_normalised_over_all_its_values_and_by_itself() -> None:
    """Values 1 and 3: mean 2, spread 1, so -1 and 1; another case in the batch changes nothing."""
    norm = group_norm(2)
    case = torch.tensor([1.0, 3.0]).view(1, 2, 1, 1)
    together = norm(torch.cat([case, 100 * case]))
    torch.testing.assert_close(norm(case).flatten(), torch.tensor([-1.0, 1.0]), atol=1e-4, rtol=0)
    torch.testing.assert_close(together[:1], norm(case))


def test_it_has_no_state_beside_its_two_parameters() -> None:
    assert [tuple(parameter.shape) for parameter in group_norm(4).parameters()] == [(4,), (4,)]
    assert list(group_norm(4).buffers()) == []
