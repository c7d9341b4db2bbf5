"""The warm trainer of one center: it takes instructions, has them done, and decides what leaves."""

import gc
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from client.data.labelled_cases import NO_ROWS, Rows
from client.home.agreement import MAXIMUM_STEPS, check_agreed
from client.home.privacy import close_to_others
from client.learning.assembly import study_specs
from client.learning.cancellation import Check, never_cancelled
from client.outgoing.egress import check_reply
from client.outgoing.outbox import Outbox
from client.outgoing.outgoing_log import LOG, log_reply
from client.outgoing.payload_egress import EgressLimits
from client.outgoing.sealed_reply import SealedReply
from client.service.failure import failure_reply, perform_safely
from client.service.work import CenterWork
from protocol.errors import CancelledError, ConciliumError
from protocol.messages.instruction import Instruction
from protocol.messages.reply import Reply
from protocol.messages.settings import StudySettings
from protocol.messages.tensors import GROUPS
from protocol.modalities import Modality
from protocol.storage.atomic_files import make_private_folder

logger = logging.getLogger(__name__)

MAXIMUM_BYTES = 1 << 30


class Trainer:
    """One center.

    Args:
        center: the name it registered with.
        folders: its data folders, each with one folder per case.
        modalities: what it offers; files of other modalities are ignored.
        home: where it keeps manifest, cache, backbones, scores, the outbox and the outgoing log.
        device: where its networks run.
        minimum_cases: fewest cases that may stand behind a tensor or figure that leaves.
        agreed: `settings_digest` of the one study it takes instructions of; "" for any.
        maximum_steps: most local steps that a round may ask for.
        rows: its own rows of a table that several centers share: column -> value.
    """

    def __init__(
        self,
        center: str,
        folders: Sequence[Path],
        modalities: Sequence[Modality],
        home: Path,
        *,
        device: str = "cpu",
        minimum_cases: int = 1,
        agreed: str = "",
        maximum_steps: int = MAXIMUM_STEPS,
        rows: Rows = NO_ROWS,
    ) -> None:
        self.center, self.home, self.device = center, home, device
        self._agreed, self._maximum_steps = agreed, maximum_steps
        make_private_folder(home)
        close_to_others(home)
        self._work = CenterWork(center, folders, modalities, home, device, rows)
        self._outbox = Outbox(home / "outbox")
        self._limits = EgressLimits(self._work.own_groups(GROUPS), minimum_cases, MAXIMUM_BYTES)

    def check_images(self) -> None:
        """Read the images in the center's folders, before anything is asked; they are read once.

        Raises:
            CaseError: the center offers images and none can be used.
        """
        self._work.cases.check_images()

    def check_cases(self, settings: StudySettings) -> None:
        """Read all that a study asks for: images, labels and covariates; the split is drawn.

        Raises:
            CaseError: no case can be used.
            LabelError: the table says what cannot be, or the training cases do not suffice to learn a task.
        """
        self._work.cases.split(settings)

    def perform(self, instruction: Instruction, check: Check = never_cancelled) -> Reply:
        """What `answer` seals, as values."""
        return self.answer(instruction, check).reply

    def answer(self, instruction: Instruction, check: Check = never_cancelled) -> SealedReply:
        """Do what the coordinator asks and seal what may leave, after it is in the outgoing log.

        What fails becomes an error code; its text stays in this center's log. Finished training is kept until the
        coordinator has acknowledged it, and answers the same instruction again without training.

        Args:
            instruction: what the coordinator asks.
            check: is called before each training step and each case that is prepared, scored or observed.

        Raises:
            StorageError: the outgoing log could not be written; nothing may leave then.
        """
        try:
            check_agreed(instruction, self.center, self._agreed, self._maximum_steps)
            waiting = self._outbox.waiting_for(instruction)
        except ConciliumError as error:
            return self._leave(instruction, failure_reply(error, instruction))
        if waiting is not None:
            logger.info("round %d was trained before; its update is sent again", instruction.server_round)
            return self._leave(instruction, waiting, again=True)
        return self._leave(instruction, self._do(instruction, check))

    def _do(self, instruction: Instruction, check: Check) -> Reply:
        """What comes of an instruction; work that was cancelled gives the device's memory back."""
        start = time.perf_counter()
        reply = perform_safely(lambda asked: self._work.do(asked, check), instruction)
        if reply.error == CancelledError.code and torch.cuda.is_available():
            gc.collect()
            torch.cuda.empty_cache()
        return replace(reply, seconds=time.perf_counter() - start)

    def _leave(self, instruction: Instruction, reply: Reply, *, again: bool = False) -> SealedReply:
        """Check, keep, log: finished work is kept before its line is written, so that it outlives a full disk."""
        specs = study_specs(instruction.settings.model_dump_json()) if reply.payload else ()
        named = replace(reply, center=self.center)
        leaving, held_back = check_reply(named, self._limits, instruction, specs)
        self._outbox.keep(instruction, leaving)
        log_reply(self.home / LOG, leaving, instruction, held_back, again=again)
        return leaving
