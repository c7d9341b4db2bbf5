"""How often a center has answered with figures or statistics, for the life of its data set, and what it answered.

    queries.json                     sealed: every question ever counted, with its study, and the stages named
    answers/<question>.<content>     one answer each, a frame of `protocol.socket_codec`; <content>: its SHA-256

A question is what decides an answer: kind, settings, network and what it is compared with, task, statistics, and the
cases that figures stand on. Scores and comparisons are of the network alone, so that their stage and round do not
count; a round's figures and observed statistics are of their round. The same question has one answer: what was kept
leaves again, to the bit, and costs nothing. Every other question is on the disk before its answer is computed, so that
a program that is killed has counted it. Beyond the budget figures and statistics stay, and training goes on.

    of one study          ALLOWANCE * questions of its plan + SPARE     where the center agreed to a plan
    of the data set       the center's own --maximum-queries

    stages of one study   ALLOWANCE * further stages of its plan + 1    named beside those in which the center trains

ALLOWANCE is for rounds that are resumed with other tensors or after new cases came, SPARE for studies of few rounds,
and the one more stage is the row before the first. A stage beyond is refused, known answer or not, since each has its
rows in the center's own scores.
"""

import hashlib
import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from client.data.block_file import SCHEMA_VERSION, RecordsError, digest, read_records
from client.data.cohort import Cohort
from client.outgoing.outbox import instruction_digest
from client.outgoing.sealed_reply import seal as seal_reply
from protocol.enrolment.plan import StudyPlan
from protocol.errors import OtherStudyError, PayloadError, StorageError
from protocol.messages.instruction import Instruction, Kind
from protocol.messages.reply import Reply
from protocol.messages.suppression import Part, Suppressed, settings_suppressed
from protocol.plain_text import shown
from protocol.socket_codec import unpack_reply
from protocol.storage.atomic_files import remove_unfinished, write_private
from protocol.storage.sealed_json import seal

logger = logging.getLogger(__name__)

QUERIES, ANSWERS = "queries.json", "answers"
ALLOWANCE, SPARE = 2, 20
KEPT_STATISTICS, LARGE_BYTES = 32, 1 << 16
ASKING: frozenset[Kind] = frozenset({"train", "evaluate", "compare", "observe"})
OF_A_NETWORK: frozenset[Kind] = frozenset({"evaluate", "compare"})
QUESTION_DIGITS = 32


@dataclass(frozen=True)
class Inquiry:
    """A question that was looked up.

    known: what was answered before. spent: that the budget is, in words. waiting: how many cases enter no figure, in
    words.
    """

    question: str = ""
    known: Reply | None = None
    spent: str = ""
    waiting: str = ""


class QueryLedger:
    """The questions that one center has answered.

    Args:
        home: where they are kept.
        maximum_queries: most questions that are ever answered on the center's data.
        plan: what the center agreed to be asked; None where any study may ask.
    """

    def __init__(self, home: Path, maximum_queries: int, plan: StudyPlan | None = None) -> None:
        self._path, self._answers, self._maximum = home / QUERIES, home / ANSWERS, maximum_queries
        self._plan = plan
        self._of_study = None if plan is None else ALLOWANCE * plan.questions + SPARE

    def inquire(self, instruction: Instruction, cohort: Cohort, beside: str = "") -> Inquiry:
        """Look a question up; one that is new is counted, on the disk, before this returns.

        Args:
            instruction: the question.
            cohort: what figures stand on.
            beside: what else decides the answer, "" where nothing does: the center's own arm.

        Raises:
            OtherStudyError: it names one stage more than the study's plan allows.
            RecordsError: what was counted is damaged.
            StorageError: the disk refuses the count; nothing may be computed then.
        """
        question, study = question_of(instruction, cohort, beside), instruction.settings.study
        counted, stages = self._read()
        named = self._with_stage(stages, instruction)
        if question not in counted and (spent := self._spent(counted, study)):
            logger.warning("figures stay at the center: %s", spent)
            return Inquiry(question, spent=spent)
        if question not in counted or named != stages:
            self._write({**counted, question: study}, named)
        return Inquiry(question, known=self._answer(question))

    def keep(self, inquiry: Inquiry, leaving: Reply) -> None:
        """Keep what leaves in answer to a question, without the tensors that trained.

        A disk that refuses it costs a line in the log: the same question is computed again then, and not counted.
        """
        if inquiry.spent or inquiry.known is not None or leaving.error:
            return
        answer = seal_reply(replace(leaving, payload=None) if leaving.kind == "train" else leaving)
        content = hashlib.sha256(answer.frame).hexdigest()
        try:
            write_private(self._answers / f"{inquiry.question}.{content}", answer.frame)
            remove_unfinished(self._answers)
        except StorageError as error:
            logger.warning("an answer leaves but could not be kept: %s", error)
        if answer.reply.tensors:
            self._drop_surplus()

    def _with_stage(self, stages: Mapping[str, str], instruction: Instruction) -> Mapping[str, str]:
        """The stages named so far, as digests, each with its study, and the instruction's where the plan lacks it."""
        study, stage = instruction.settings.study, digest(instruction.settings.study, instruction.stage)
        if self._plan is None or stage in stages or self._plan.stage(instruction.stage) is not None:
            return stages
        of_study, allowed = list(stages.values()).count(study), ALLOWANCE * self._plan.further_stages + 1
        if of_study >= allowed:
            raise OtherStudyError(
                f"stage {shown(instruction.stage)!r} is not in the plan of study '{study}', and {of_study} such stages "
                f"were named before, {allowed} are allowed. Nothing was done; a new kit holds the plan as it is now"
            )
        return {**stages, stage: study}

    def _spent(self, counted: Mapping[str, str], study: str) -> str:
        """Why one more question is not answered; "" where it is."""
        of_study = sum(1 for found in counted.values() if found == study)
        if self._of_study is not None and of_study >= self._of_study:
            return (
                f"study '{study}' has asked {of_study} questions, its plan allows {self._of_study}; a new kit with "
                "a longer plan allows more"
            )
        if len(counted) >= self._maximum:
            return (
                f"{len(counted)} questions were answered on this center's data, it allows {self._maximum}; "
                "--maximum-queries allows more"
            )
        return ""

    def _answer(self, question: str) -> Reply | None:
        """What was answered; None where it was not kept, or is damaged."""
        for path in sorted(self._answers.glob(f"{question}.*")):
            with suppress(OSError, PayloadError):
                frame = path.read_bytes()
                if hashlib.sha256(frame).hexdigest() == path.name.partition(".")[2]:
                    return unpack_reply(frame)
            logger.warning("%s is damaged; the same question is computed again", path)
        return None

    def _read(self) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """Questions and stages, each with its study; files of earlier versions name no stages."""
        if not self._path.exists():
            return {}, {}
        records = read_records(self._path)
        questions, stages = records.get("questions"), records.get("stages", {})
        if not (isinstance(questions, dict) and isinstance(stages, dict)):
            raise RecordsError(f"{self._path} holds no questions; put it back from a backup of the home")
        return questions, stages

    def _write(self, counted: Mapping[str, str], stages: Mapping[str, str]) -> None:
        content = {"schema_version": SCHEMA_VERSION, "questions": dict(counted), "stages": dict(stages)}
        write_private(self._path, seal(content))

    def _drop_surplus(self) -> None:
        """Keep the latest statistics only: they are large, and the same question computes them again, to the bit."""
        large = [path for path in self._answers.iterdir() if path.stat().st_size >= LARGE_BYTES]
        for path in _oldest(large)[: max(0, len(large) - KEPT_STATISTICS)]:
            path.unlink(missing_ok=True)


def question_of(instruction: Instruction, cohort: Cohort, beside: str = "") -> str:
    """SHA-256 of all that decides an answer, and of the cases that it stands on."""
    asked = replace(instruction, secure=None)
    if instruction.kind in OF_A_NETWORK:
        asked = replace(asked, stage="", server_round=0)
    parts = (instruction_digest(asked), cohort.digest, *filter(None, [beside]))
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:QUESTION_DIGITS]


def figures_of(reply: Reply, inquiry: Inquiry) -> Reply:
    """A reply with the figures that may leave: those that were answered before, or none where the budget is spent."""
    if inquiry.spent:
        parts: Mapping[Part, bool] = {"diagnostics": bool(reply.diagnostics), "loss": reply.loss is not None}
        held = Suppressed(parts=tuple(part for part, is_there in parts.items() if is_there))
        held = held.joined_with(settings_suppressed(reply.scores, ())).joined_with(reply.suppressed)
        benefits = tuple(replace(found, comparison=None) for found in reply.benefits)
        without = replace(reply, scores={}, comparison=None, diagnostics={}, loss=None)
        return replace(without, benefits=benefits, suppressed=held)
    known = inquiry.known
    if known is None or reply.error:
        return reply
    same = replace(reply, scores=known.scores, diagnostics=known.diagnostics, loss=known.loss, benefits=known.benefits)
    return replace(same, suppressed=replace(known.suppressed, groups=reply.suppressed.groups))


def _oldest(paths: Iterable[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: path.stat().st_mtime_ns)
