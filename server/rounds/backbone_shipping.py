"""How a center that lacks the frozen backbone gets it: small ones by message, large ones as a file by other means.

Messages of hundreds of megabytes make the coordinator's message store fail for everybody; a file, checked by its
content hash where it arrives, can go by any way the two houses have.
"""

import logging
from pathlib import Path

from safetensors.numpy import save as safetensors_bytes

from protocol.messages.tensors import Tensors, tensor_bytes
from protocol.storage.atomic_files import write_bytes
from strategies.bank.bank import AdapterBank

logger = logging.getLogger(__name__)


class BackboneShipping:
    """The backbones of one study.

    Args:
        bank: holds them.
        folder: where large ones are laid out as files, named by content hash.
        by_message_bytes: the most tensor bytes that go by message.
    """

    def __init__(self, bank: AdapterBank, folder: Path, by_message_bytes: int) -> None:
        self._bank, self._folder, self._by_message_bytes = bank, folder, by_message_bytes
        self._told: set[tuple[str, str]] = set()

    def by_message(self, center: str, backbone_hash: str) -> Tensors | None:
        """The backbone to send to a center; None where it is too large: then the log says how the center gets it.

        Raises:
            BankError: the bank does not hold it, or holds a damaged one.
            StorageError: the file cannot be written.
        """
        tensors = self._bank.backbone(backbone_hash)
        size = tensor_bytes(tensors)
        if size <= self._by_message_bytes:
            return tensors
        path = self._folder / f"{backbone_hash}.safetensors"
        if not path.exists():
            write_bytes(path, safetensors_bytes(dict(tensors)))
        if (center, backbone_hash) not in self._told:
            self._told.add((center, backbone_hash))
            logger.warning(
                "center '%s' lacks backbone %s, which has %d bytes; by message go at most %d "
                "(backbone_by_message_bytes). Bring it %s; there: concilium-center join --home HOME --backbone FILE",
                center,
                backbone_hash,
                size,
                self._by_message_bytes,
                path.resolve(),
            )
        return None
