"""All that is fuzzed, by name."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from tests.fuzz.image_target import ImageTarget
from tests.fuzz.kit_target import KitTarget
from tests.fuzz.nifti_target import NiftiTarget
from tests.fuzz.reply_target import ReplyTarget
from tests.fuzz.stored_target import StoredTarget
from tests.fuzz.text_target import TextTarget


class Target(Protocol):
    """Something that reads bytes; only what is no documented error leaves a call."""

    @property
    def seeds(self) -> Sequence[bytes]:
        """Sound ones."""

    def __call__(self, data: bytes) -> None:
        """Read."""


TARGETS: Mapping[str, Callable[[], Target]] = {
    "image": ImageTarget,
    "kit": KitTarget,
    "nifti": NiftiTarget,
    "reply": ReplyTarget,
    "stored": StoredTarget,
    "text": TextTarget,
}
