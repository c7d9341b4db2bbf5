"""Which rows take public weights: those whose CT network some published file has."""

from fusion_models.registry import MODELS


def test_rows_of_swin_and_vmamba_encoders_take_public_weights_and_no_others() -> None:
    able = {name.rpartition("-")[0] for name, row in MODELS.items() if row.public_weights is not None}
    assert able == {"pemma-swin", "vmambax", "log-vmamba-2d"}
