"""What `predict` is given and what it finds: scans, the network that answers for one, and its prediction."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from torch import nn

from client.data.checks import Issue
from client.data.conversion import PetValues
from client.data.labels import UNLABELLED, CaseLabels
from client.data.manifest import File
from client.data.volume import Volume
from client.dicom.algorithm import Algorithm
from client.dicom.source_planes import is_resampled
from client.predict.figures import Figures
from client.predict.uncertainty import Uncertainty
from protocol.modalities import ModalitySetting


@dataclass(frozen=True)
class Scan:
    """One study of one patient, on its own grids, in HU and SUV.

    ct_headers, pet_headers: of the DICOM series that the volumes were read from, one a slice; empty for image files.
    origins: UIDs of the source by the keys of `ReadCase.origins`; empty for image files. labels: what a table says of
    the case, of which covariates are an input.
    """

    case: str
    ct: Volume | None = None
    pet: Volume | None = None
    pet_values: PetValues | None = None
    ct_headers: Sequence[Dataset] = ()
    pet_headers: Sequence[Dataset] = ()
    origins: Mapping[str, str | list[str]] = field(default_factory=dict)
    labels: CaseLabels = UNLABELLED
    issues: tuple[Issue, ...] = ()

    @property
    def images(self) -> dict[File, Volume]:
        """The images that are there."""
        found: dict[File, Volume | None] = {"ct": self.ct, "pet": self.pet}
        return {name: volume for name, volume in found.items() if volume is not None}

    @property
    def base(self) -> Volume:
        """The image whose grid a mask lies on: the CT, or the PET where there is no CT.

        Raises:
            ValueError: there is neither.
        """
        if self.ct is not None:
            return self.ct
        if self.pet is None:
            raise ValueError(f"scan '{self.case}' has neither CT nor PET")
        return self.pet

    @property
    def base_headers(self) -> Sequence[Dataset]:
        """Headers of the series of `base`."""
        return self.pet_headers if self.ct is None else self.ct_headers

    @property
    def base_resampled(self) -> bool:
        """Whether `base` lies on another grid than the slices of its series, as uneven and tilted stacks do."""
        return bool(self.base_headers) and is_resampled(self.base, self.base_headers)


@dataclass(frozen=True)
class FoundScan:
    """A scan that is read when its turn comes; `read` raises CaseError where it cannot be used."""

    case: str
    read: Callable[[], Scan]


@dataclass(frozen=True)
class Answering:
    """The network for one scan, and what the outputs say of it.

    facts: of the adapter, for the record. issues: what the bank says against it, such as a scan its router does not
    know.
    """

    model: nn.Module
    algorithm: Algorithm
    facts: Mapping[str, Any]
    issues: tuple[Issue, ...] = ()


@dataclass(frozen=True)
class Prediction:
    """What was found in one scan.

    setting: what the network was shown. probability, mask: on the grid of `scan.base`; None where the study's task has
    no mask, and then so are figures and uncertainty. A probability is at the center's temperature where there is one.
    answers: of tasks that answer for a case as a whole, by task.
    """

    scan: Scan
    setting: ModalitySetting
    algorithm: Algorithm
    adapter: Mapping[str, Any]
    probability: NDArray[np.float32] | None = None
    mask: Volume | None = None
    figures: Figures | None = None
    uncertainty: Uncertainty | None = None
    answers: Mapping[str, Any] = field(default_factory=dict)
    issues: tuple[Issue, ...] = ()
