"""One row of the table of models: how to build it, what it can take, what an adapter may touch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fusion_models.contract import ROLES, Assessor, FusionModel, Segmenter
from fusion_models.diagnostics import Diagnostics, NoDiagnostics
from fusion_models.options import Sizes
from fusion_models.public_weights import PublicWeights

Crop = tuple[int, int, int]


@dataclass(frozen=True)
class ModelRow:
    """One model.

    build: called with `crop_zyx` and the options, with `outputs` where the row answers for cases (outputs of its head;
        0 where a study asks for none), and with `covariates` where it reads EHR (length of the vector).
    options: what a study file may override; omissible: those of them that may be 0, which leaves a part out.
    crop_zyx: a crop that these sizes take; the published one of the published sizes.
    settings: modality settings the architecture can run.
    adapter_targets: module suffixes, named in full; none where nothing is to be adapted.
    pathways: group -> module prefixes that only PET ("pet"), only EHR ("ehr"), or only CT and PET at once ("fusion")
        run through, and the case's head ("head"); options decide which of them a model has. The rest is the backbone,
        the CT network.
    tasks: keys of `contract.ROLES` that it can be trained for.
    spatial_dims: 2 where the network sees slices, or stacks of neighbouring slices.
    routed: whether its forward pass says whose rows its adapters are given, so that they may have a bank for each
        modality (`fusion_models.adapters.routing`).
    diagnostics: makes what watches the network while cases are scored.
    public_weights: loads a public checkpoint into the CT network; None where there is none that fits.
    """

    build: Callable[..., FusionModel]
    options: Sizes
    crop_zyx: Crop
    settings: tuple[str, ...]
    adapter_targets: tuple[str, ...]
    pathways: Mapping[str, tuple[str, ...]]
    tasks: tuple[str, ...] = ("segmentation",)
    spatial_dims: int = 3
    omissible: tuple[str, ...] = ()
    routed: bool = False
    diagnostics: Callable[[], Diagnostics] = NoDiagnostics
    public_weights: PublicWeights | None = None

    @property
    def pathway_modules(self) -> tuple[str, ...]:
        """The module prefixes of all pathways."""
        return tuple(prefix for prefixes in self.pathways.values() for prefix in prefixes)

    @property
    def known_options(self) -> Sizes:
        """What a study file may give: the row's options, and the classes of a mask."""
        return {**self.options, "classes": 2} if self.is_for(Segmenter) else self.options

    def is_for(self, role: type) -> bool:
        """Whether one of its tasks is a `Segmenter`'s, an `Assessor`'s or a `Fuser`'s."""
        return any(ROLES[task] is role for task in self.tasks)

    def case_sizes(self, outputs: int, covariates: int) -> dict[str, int]:
        """Which of a case's sizes the row is built with."""
        reads_ehr = any("ehr" in setting.split("+") for setting in self.settings)
        sizes = (("outputs", outputs, self.is_for(Assessor)), ("covariates", covariates, reads_ehr))
        return {name: size for name, size, needed in sizes if needed}
