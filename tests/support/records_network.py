"""A network of health records alone, the least that answers for cases: no backbone, nothing to adapt."""

from collections.abc import Sequence

from torch import Tensor, nn

from fusion_models.contract import Assessor, NoFeaturesOfCtError
from fusion_models.registry import ModelRow

NAME = "records"


class Records(Assessor):
    """One hidden layer."""

    def __init__(self, *, crop_zyx: Sequence[int], outputs: int, covariates: int, width: int) -> None:
        super().__init__()
        assert len(crop_zyx) == 3
        self.trunk, self.head = nn.Linear(covariates, width), nn.Linear(width, outputs)

    def encode(self, ct: Tensor | None, pet: Tensor | None, ehr: Tensor | None = None) -> Tensor:
        if ehr is None or ct is not None or pet is not None:
            raise ValueError("a network of records reads EHR alone")
        return self.trunk(ehr).relu()

    def answer(self, features: Tensor) -> Tensor:
        return self.head(features)

    def pool_features(self, ct: Tensor) -> Tensor:  # noqa: ARG002  (there are none)
        raise NoFeaturesOfCtError(self)


ROW = ModelRow(
    Records,
    {"width": 4},
    (16, 16, 16),
    ("ehr",),
    (),
    {"ehr": ("trunk",), "head": ("head",)},
    tasks=("classification", "survival"),
)
LABELS = {
    "endpoints": {
        "death": {"event": "died", "time": "os", "unit": "months"},
        "relapse": {"event": "relapsed", "time": "rfs", "unit": "months"},
    },
    "covariates": {
        "age": {"kind": "number", "minimum": 0, "maximum": 120, "mean": 60, "standard_deviation": 10},
        "stage": {"kind": "category", "values": ["I", "II", "III"]},
    },
    "survival": {"edges_days": [365, 730, 1095]},
}
"""Two endpoints of three bins: 6 outputs; a number and three categories: 2 + 4 entries."""
