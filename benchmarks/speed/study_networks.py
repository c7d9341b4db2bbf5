"""What `frozen_features.py` and `compiled_step.py` look at: rows of the table of models, as studies train them."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import nn

from client.learning.assembly import MEMORY_FORMATS, build, inject_adapter, row_of
from client.learning.trainable import train_only
from fusion_models.adapters.injection import lay_out
from fusion_models.contract import Segmenter
from fusion_models.model_row import ModelRow
from protocol.messages.settings import StudySettings

ADAPT = ("pet", "fusion", "peft")
ARRIVE = ("peft",)
PUBLISHED = {"pathway": "published"}
ATTENTION = ("attn.qkv", "attn.out_proj")


class StudyNetwork(NamedTuple):
    """What a study file says of a network, and which groups a stage of it trains; no targets are the row's own."""

    model: str
    options: Mapping[str, object] = {}
    targets: tuple[str, ...] = ()
    groups: tuple[str, ...] = ADAPT
    crop_zyx: tuple[int, int, int] = (48, 48, 48)


class Built(NamedTuple):
    """A network, what trains of it, and its row."""

    model: Segmenter
    trained: list[nn.Parameter]
    row: ModelRow


NETWORKS: Mapping[str, StudyNetwork] = {
    "PEMMA-UNETR, attention and decoder": StudyNetwork("pemma-unetr-small"),
    "PEMMA-UNETR, attention": StudyNetwork("pemma-unetr-small", targets=ATTENTION),
    "PEMMA-UNETR published, attention": StudyNetwork("pemma-unetr-small", PUBLISHED, ATTENTION),
    "PEMMA-UNETR published, who arrives": StudyNetwork("pemma-unetr-small", PUBLISHED, ATTENTION, ARRIVE),
    "PEMMA-Swin": StudyNetwork("pemma-swin-small"),
    "vMambaX": StudyNetwork("vmambax-small", crop_zyx=(1, 64, 64)),
    "LoG-VMamba 3D": StudyNetwork("log-vmamba-3d-small", crop_zyx=(32, 32, 32)),
    "ResEnc": StudyNetwork("resenc-small"),
}


def build_network(said: StudyNetwork) -> Built:
    """The network as a center's trainer assembles it, drawn from seed 0."""
    adapter = {"method": "lora", "rank": 8, "alpha": 16, "targets": said.targets}
    settings = StudySettings.model_validate(
        {
            "study": "speed",
            "seed": 0,
            "model": {"name": said.model, "options": dict(said.options)},
            "adapter": adapter,
            "preprocessing": {"crop_zyx": said.crop_zyx},
        }
    )
    row = row_of(settings)
    model = build(settings, row)
    inject_adapter(model, settings, row)
    lay_out(model, MEMORY_FORMATS[row.spatial_dims])
    return Built(model, list(train_only(model, said.groups, row.pathways).values()), row)


def draw_images(shape_zyx: tuple[int, ...], batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """CT and PET (b, 1, z, y, x) of random intensities, laid out as a trainer's batches are."""
    ct, pet = (torch.rand(batch, 1, *shape_zyx).to(memory_format=torch.channels_last_3d) for _ in range(2))
    return ct, pet
