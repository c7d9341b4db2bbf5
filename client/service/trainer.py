"""The warm trainer of one center: it takes instructions, has them done, and decides what leaves."""

import gc
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from client.data.labelled_cases import NO_ROWS, Rows
from client.home.agreement import MAXIMUM_STEPS, ExcessiveError, TrainerAgreement, check_agreed
from client.home.draw_key import PUBLIC
from client.home.limits import DEFAULT_LIMITS, WorkLimits
from client.home.own_privacy import OwnPrivacy, refuse_attack
from client.home.privacy import close_to_others
from client.learning.assembly import study_specs
from client.learning.cancellation import Check, never_cancelled
from client.learning.private_study import check_private_study
from client.learning.received import check_received
from client.masking.masked_sums import MaskedSums
from client.outgoing.egress import check_reply
from client.outgoing.masked_egress import is_masked
from client.outgoing.outbox import Outbox
from client.outgoing.outgoing_log import LOG, log_reply
from client.outgoing.payload_egress import EgressLimits
from client.outgoing.queries import ASKING, Inquiry, QueryLedger, figures_of
from client.outgoing.sealed_reply import SealedReply
from client.outgoing.summed_figures import without_figures
from client.privacy.private_rounds import PrivateRounds, planned_trainings
from client.service.activity import Activity
from client.service.failure import failure_reply, perform_safely
from client.service.private_round import refuse_unaffordable
from client.service.release_record import ReleaseRecord
from client.service.work import CenterWork
from client.service.work_limits import check_bearable, end_in_time, main_memory
from protocol.errors import CancelledError, ConciliumError, PrivacyError, SpentError
from protocol.messages.instruction import SCORE_KINDS, SUM_KINDS, Instruction, Part
from protocol.messages.payload import Payload
from protocol.messages.reply import Reply
from protocol.messages.secure_aggregation import sums_scores
from protocol.messages.settings import StudySettings, Training
from protocol.messages.tensors import GROUPS, TensorSpec
from protocol.modalities import Modality
from protocol.storage.atomic_files import make_private_folder
from protocol.storage.full_disk import require_room

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
        agreement: what the center agreed to be asked; None takes instructions of any study.
        maximum_steps: most local steps that a round may ask for.
        maximum_queries: most questions about figures that are ever answered on its data; None keeps no count.
        limits: what else an instruction may take at most.
        rows: its own rows of a table that several centers share: column -> value.
        draw_key: what its draws come from beside the study's seed; the default, that everybody can repeat them, is for
            centers that are simulated.
        privacy: what it guarantees its patients whatever a study asks for.
        highest_auc: of a loss-threshold attack on a candidate, above which the center does not compare it; 0: none.

    Raises:
        PrivacyError: the agreement asks for less privacy, or for what cannot be private; before a case is read.
        RecordsError: what ever left of its patients cannot be read as it was written; likewise.
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
        agreement: TrainerAgreement | None = None,
        maximum_steps: int = MAXIMUM_STEPS,
        maximum_queries: int | None = None,
        limits: WorkLimits = DEFAULT_LIMITS,
        rows: Rows = NO_ROWS,
        draw_key: bytes = PUBLIC,
        privacy: OwnPrivacy | None = None,
        highest_auc: float = 0.0,
    ) -> None:
        self.center, self.home, self.device = center, home, device
        self._agreement, self._maximum_steps, self._bearable = agreement, maximum_steps, limits
        make_private_folder(home)
        self.activity = Activity(home)
        close_to_others(home)
        plan = None if agreement is None else agreement.plan
        self._rounds = PrivateRounds(center, home, plan, privacy)
        if agreement is not None:
            self._check_privacy(agreement, highest_auc)
        memory = main_memory(limits)
        self._work = CenterWork(
            center,
            folders,
            modalities,
            home,
            device,
            rows,
            minimum_cases,
            memory,
            draw_key=draw_key,
            rounds=self._rounds,
            highest_auc=highest_auc,
        )
        self._record = ReleaseRecord(center, home, self._work.cases, attacks=bool(highest_auc))
        if agreement is not None:
            self._record.check(agreement.settings)
        self._outbox = Outbox(home / "outbox")
        self._sums = MaskedSums(center, "" if agreement is None else agreement.authority, home)
        self._queries = None if maximum_queries is None else QueryLedger(home, maximum_queries, plan)
        self._limits = EgressLimits(self._work.own_groups(GROUPS), minimum_cases, MAXIMUM_BYTES)

    def check_images(self) -> None:
        """Read the images in the center's folders, before anything is asked; they are read once.

        Raises:
            CaseError: the center offers images and none can be used.
        """
        self._work.cases.check_images()

    def check_cases(self, settings: StudySettings) -> Mapping[str, Part]:
        """Read all that a study asks for: images, labels and covariates; the part of each case, which is then fixed.

        Raises:
            CaseError: no case can be used.
            LabelError: the table says what cannot be, or the training cases do not suffice to learn a task.
        """
        return self._work.cases.split(settings)

    def perform(self, instruction: Instruction, check: Check = never_cancelled) -> Reply:
        """What `answer` seals, as values."""
        return self.answer(instruction, check).reply

    def answer(self, instruction: Instruction, check: Check = never_cancelled) -> SealedReply:
        """Do what the coordinator asks and seal what may leave, after it is in the ledger and in the outgoing log.

        What fails becomes an error code; its text stays in this center's log. Finished training is kept until the
        coordinator has acknowledged it, and answers the same instruction again without training.

        Args:
            instruction: what the coordinator asks.
            check: is called before each training step and each case that is prepared, scored or observed.

        Raises:
            CaseError, RecordsError: the ledger for life cannot be added to; nothing may leave then.
            StorageError: it, or the outgoing log, could not be written; likewise.
        """
        with self.activity.during(instruction, check) as counted:
            sealed = self._answer_agreed(instruction, counted)
            self.activity.fail(sealed.reply.error)
            return sealed

    def _answer_agreed(self, instruction: Instruction, check: Check) -> SealedReply:
        """A refusal, an update that was not fetched yet, or what comes of the work."""
        try:
            self._check_agreed(instruction)
            waiting = self._outbox.waiting_for(instruction)
        except ConciliumError as error:
            return self._leave(instruction, failure_reply(error, instruction))
        if waiting is not None:
            logger.info("round %d was trained before; its update is sent again", instruction.server_round)
            return self._leave(instruction, waiting, again=True)
        return self._leave(instruction, *self._do(instruction, check))

    def _check_privacy(self, agreement: TrainerAgreement, highest_auc: float) -> None:
        """Refuse a study that cannot be private enough, and say what it guarantees each patient."""
        check_private_study(
            agreement.settings, self.center, [training for _, training in planned_trainings(agreement.plan)]
        )
        promise = self._rounds.check(agreement.settings)
        refuse_attack(promise, highest_auc, self.center)
        if promise is not None:
            logger.info(
                "study '%s' guarantees each patient who trains epsilon %.3g at delta %.3g, gradients clipped to %.3g",
                *(agreement.study, promise.epsilon, promise.delta, promise.sensitivity),
            )

    def _check_agreed(self, instruction: Instruction) -> None:
        """Refuse what the center did not agree to or cannot bear, before anything is read or computed."""
        check_agreed(instruction, self.center, self._agreement, self._maximum_steps)
        if self._rounds.check(instruction.settings) is not None and instruction.kind == "observe":
            raise PrivacyError(
                f"study '{instruction.settings.study}' observes {list(instruction.statistics)} of patients who train, "
                "which [privacy] does not allow; leave gram_anchor, router and schemes that observe out"
            )
        check_bearable(instruction, self.center, self._bearable, self.device)
        if self._agreement is not None:
            check_received(instruction, self.center, study_specs(instruction.settings.model_dump_json()))

    def _do(self, instruction: Instruction, check: Check) -> tuple[Reply, Inquiry | None]:
        """What comes of an instruction; work that was broken off gives the device's memory back."""
        start, inquiries = time.perf_counter(), list[Inquiry]()
        check = end_in_time(check, self._bearable, self.center)
        reply = perform_safely(lambda asked: self._answer(asked, check, inquiries), instruction)
        if reply.error in {CancelledError.code, ExcessiveError.code} and torch.cuda.is_available():
            gc.collect()
            torch.cuda.empty_cache()
        return replace(reply, seconds=time.perf_counter() - start), next(iter(inquiries), None)

    def _answer(self, instruction: Instruction, check: Check, inquiries: list[Inquiry]) -> Reply:
        """The work, with the figures that may leave of it; a question that was looked up is left in `inquiries`.

        Raises:
            ConciliumError: it cannot be done, or `check` raised.
        """
        require_room(self.home, f"center '{self.center}'")
        if instruction.kind in SUM_KINDS:
            return self._sums.answer(instruction)
        settings = instruction.settings
        if instruction.kind == "train" and settings.privacy is not None:
            cases = self._work.cases
            refuse_unaffordable(self._rounds, instruction, cases.manifest(settings), cases.split(settings))
        if instruction.kind not in ASKING:
            return self._work.do(instruction, check)
        cohort = self._work.cohort(settings)
        beside = self._work.arm.said_of(instruction)
        inquiry = Inquiry() if self._queries is None else self._queries.inquire(instruction, cohort, beside)
        inquiries.append(replace(inquiry, waiting=cohort.waiting))
        if instruction.kind in {"compare", "observe"}:
            if inquiry.known is not None:
                return inquiry.known
            if inquiry.spent:
                raise SpentError(inquiry.spent)
        return figures_of(self._work.do(instruction, check), inquiry)

    def _leave(
        self, instruction: Instruction, reply: Reply, inquiry: Inquiry | None = None, *, again: bool = False
    ) -> SealedReply:
        """Check, keep, log: finished work is kept before its line is written, so that it outlives a full disk.

        What the optimiser ended with comes before the reply, which from then on answers the round without training.
        """
        specs = study_specs(instruction.settings.model_dump_json()) if reply.payload else ()
        named = replace(reply, center=self.center)
        leaving, held_back = check_reply(named, self._limits, instruction, specs, self._trained(named.payload))
        plain = leaving.reply
        if instruction.settings.secure_aggregation is not None:
            leaving, more = self._mask(leaving, instruction, specs)
            held_back = [*held_back, *more]
        if sums_scores(instruction.settings.secure_aggregation):
            leaving, more = self._mask_scores(leaving, instruction, specs)
            held_back = [*held_back, *more]
            plain = plain if instruction.kind in SCORE_KINDS else without_figures(plain)
        if inquiry is not None:
            held_back = [*held_back, *filter(None, (inquiry.spent, inquiry.waiting if not leaving.reply.error else ""))]
            if self._queries is not None:
                self._queries.keep(inquiry, plain if instruction.kind in SCORE_KINDS else leaving.reply)
        if not leaving.reply.error:
            self._work.moments.keep(instruction)
        self._outbox.keep(instruction, leaving)
        self._record.write_down(plain, leaving, instruction)
        log_reply(self.home / LOG, leaving, instruction, held_back, again=again)
        return leaving

    def _mask(
        self, plain: SealedReply, instruction: Instruction, specs: Sequence[TensorSpec]
    ) -> tuple[SealedReply, list[str]]:
        """What leaves of a round whose sum alone is seen: masked, and read once more as it leaves."""
        payload = plain.reply.payload
        if payload is None or is_masked(payload) or instruction.kind == "observe":
            return plain, []

        def mask(asked: Instruction) -> Reply:
            return self._sums.mask_reply(plain.reply, asked, specs, self._work.frozen_for(asked))

        masked = replace(perform_safely(mask, instruction), center=self.center)
        return check_reply(masked, self._limits, instruction, specs, self._trained(masked.payload))

    def _mask_scores(
        self, plain: SealedReply, instruction: Instruction, specs: Sequence[TensorSpec]
    ) -> tuple[SealedReply, list[str]]:
        """What leaves where no center's own figure may: masked rows, where a sum was asked for, and no figure."""
        if plain.reply.error:
            return plain, []
        masked = plain.reply
        if instruction.kind in SCORE_KINDS and instruction.secure is not None:
            masked = perform_safely(lambda asked: self._sums.mask_scores(plain.reply, asked), instruction)
        leaving = without_figures(replace(masked, center=self.center))
        return check_reply(leaving, self._limits, instruction, specs, self._trained(leaving.payload))

    def _trained(self, payload: Payload | None) -> Training | None:
        """How the round of a payload was to train by what was agreed; None where nothing says it."""
        if payload is None or self._agreement is None:
            return None
        return self._agreement.plan.training_of(payload.stage, payload.server_round)
