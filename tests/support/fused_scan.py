"""A scan whose fused image is known: the mean of CT and PET, or of one image itself."""

from pathlib import Path

from client.predict.contract import Answering
from client.predict.fused import FusedScan, ScanFuser
from fusion_models.registry import model_row
from protocol.messages.settings import Model
from protocol.modalities import ModalitySetting
from tests.support.drawn_mask import ALGORITHM
from tests.support.mixing_network import Mixture
from tests.support.predicted_scan import FACTS, SETTINGS, MadeScan, made_scan

NAME = "clinicalfmamba-3d-tiny"
STUDY = SETTINGS.model_copy(update={"model": Model(name=NAME), "tasks": ("fusion",)})


def fuser(wanted: ModalitySetting | None = None) -> ScanFuser:
    """A fuser whose network mixes CT and PET half and half."""
    return ScanFuser(STUDY, model_row(NAME), lambda _case: Answering(Mixture(), ALGORITHM, FACTS), wanted)


def fused_scan(folder: Path) -> tuple[FusedScan, MadeScan]:
    """A fused scan, and what it was made of."""
    made = made_scan(folder)
    return fuser().fuse(made.scan), made
