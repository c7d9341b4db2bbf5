"""The network of an instruction at a center: the tensors that came, and the backbone that came or is on disk."""

from client.home.backbone_store import BackboneStore, check_hash
from client.learning.assembly import row_of
from client.scores.scoring import Network
from protocol.messages.instruction import Instruction
from protocol.messages.tensors import BACKBONE, Tensors, content_hash, group_of, is_statistic


def network_of(instruction: Instruction, tensors: Tensors, backbones: BackboneStore, device: str) -> Network:
    """The network of `tensors`; its backbone is among them, was just sent, or is in `backbones`.

    A backbone that comes as the reference of a comparison is another than the instruction names.

    Raises:
        BackboneMissingError: it is nowhere.
        ModelError: it is another than the instruction names, or its model is unknown.
    """
    row, backbone_hash = row_of(instruction.settings), instruction.backbone_hash
    moving = {
        key: array
        for key, array in tensors.items()
        if not is_statistic(key) and group_of(key, row.pathways) == BACKBONE
    }
    if moving and instruction.kind == "evaluate":
        # What is scored at the end of a stage is what the next one freezes: kept, it need not travel again.
        backbones.add(moving, backbone_hash)
    elif moving and tensors is instruction.reference:
        backbone_hash = content_hash(moving)
    elif moving:
        check_hash(moving, backbone_hash)
    elif instruction.backbone:
        backbones.add(instruction.backbone, backbone_hash)
    rest = {key: array for key, array in tensors.items() if key not in moving}
    backbone = moving or backbones.get(backbone_hash)
    return Network(instruction.settings, row, backbone, backbone_hash, rest, device)
