"""Row and gate of a study whose scores are summed: what is asked of the centers together, and what becomes of it."""

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from protocol.errors import LASTING, NoVoiceError, PayloadError, QuorumError, SecureSumError, StudyError
from protocol.messages.instruction import Instruction, Kind
from protocol.messages.scores import Comparison, Score
from protocol.messages.secure_aggregation import sums_scores
from protocol.messages.secure_sum import Purpose, SumRequest
from protocol.messages.suppression import Suppressed
from protocol.modalities import SETTINGS, ModalitySetting, parts_of
from protocol.tasks import metric_names
from server.grid.center_answer import CenterAnswer
from server.rounds.closing import record_queries
from server.rounds.dispatcher import no_answers
from server.rounds.gate_step import check_stage_heard, of_earlier_stages, trains_backbone
from server.rounds.instructions import InstructionBuilder
from server.rounds.score_sum import ScoreTotals, sum_scores, weights_of_rows
from server.rounds.sum_phases import AskAll, SumPhases
from server.rounds.transitions import after_backbone_gate
from server.study.checkpoint import Checkpoint
from server.study.file import Study
from server.study.history import ALL_CENTERS, StageRow
from server.study.roster_file import read_roster
from strategies.continual.summed_gate import decide_backbone_sum, decide_sum, harm_of
from strategies.secure_sum.score_rows import COMPARISON, comparison_sum, figure_name, figure_sum

logger = logging.getLogger(__name__)

NO_VOICE, A_VOICE = Comparison(0, None), Comparison(1, 0.0, 0.0)
"""What stands for a center that cannot judge, and for one whose comparison is in the sum."""
Gone = Callable[[], Mapping[str, str]]


@dataclass(frozen=True)
class SummedScores:
    """Asks for scores and comparisons as sums.

    study: whose. roster: its file. ask: asks centers and waits for all. gone: who is not asked any more, read late.
    """

    study: Study
    roster: Path
    ask: AskAll
    gone: Gone

    def score(
        self, state: Checkpoint, builder: InstructionBuilder, row: str, cases: Mapping[str, Mapping[str, int]]
    ) -> StageRow:
        """A row of the evaluation matrix over all evaluated centers; all suppressed where no sum can be used.

        Args:
            state: what is served.
            builder: of the stage.
            row: its name.
            cases: center -> part -> number of cases, of the centers that registered.

        Raises:
            StudyError: there is no roster of this study.
        """
        evaluated = [name for name, center in self.study.centers.items() if center.evaluated]
        rows = figures_of(self.study, evaluated)
        tests = {name: cases[name]["test"] for name in evaluated if name in cases}
        asked = {name: builder.scoring(state, name, row) for name in evaluated}
        weigh = partial(weights_of_rows, rows=rows, registered=tests, fewest=self._fewest)
        phases = self._phases(state, builder, "evaluate", row)
        nothing = ScoreTotals(no_answers(asked), {}, {})
        try:
            found = sum_scores(phases, {name: asked[name] for name in tests}, weigh, tests)
            return row_of_totals(row, rows, replace(found, answers={**nothing.answers, **found.answers}))
        except (QuorumError, PayloadError, SecureSumError) as error:
            logger.warning("row '%s' stays with the centers: %s", row, error)
            return row_of_totals(row, rows, nothing)

    def decide(self, state: Checkpoint, builder: InstructionBuilder, asked: Mapping[str, Instruction]) -> Checkpoint:
        """The state after the no-harm gate.

        Args:
            state: with the candidate as its shared tensors.
            builder: of the stage.
            asked: center -> its comparison.

        Raises:
            QuorumError: too few compared, or an earlier center is away, which nobody can spare a candidate that harms
                it; the stage can be closed when they are back.
            NoVoiceError: too few can compare, and all have answered.
            PayloadError: the totals are none that the centers can have sent.
            StudyError: there is no roster of this study.
        """
        stage, gate = builder.stage, self.study.strategy.gate
        if gate is False:
            raise StudyError(f"stage '{stage.name}' was to be judged in a study without a gate")
        counted, is_backbone = state.agreed_validation_cases, trains_backbone(builder)
        weigh = partial(weights_of_rows, rows={COMPARISON: tuple(asked)}, registered=counted, fewest=self._fewest)
        here = {name: found for name, found in asked.items() if name in counted and name not in self.gone()}
        phases, harm = self._phases(state, builder, "compare", ""), harm_of(gate, of_backbone=is_backbone)
        found = sum_scores(phases, here, weigh, counted, harm, partial(self._check_heard, builder, asked))
        answers, behind = {**no_answers(asked), **found.answers}, found.behind[COMPARISON]
        total = comparison_sum(found.totals[COMPARISON], len(behind))
        unheard = [center for center in asked if center not in behind]
        recorded = record_queries(state, stage, answers)
        if is_backbone:
            return after_backbone_gate(recorded, stage, decide_backbone_sum(total, gate, unheard=unheard))
        verdict = decide_sum(total, gate, unheard=unheard, earlier=of_earlier_stages(builder))
        # As of a backbone: nobody can be told apart, so that all are served the same.
        return after_backbone_gate(recorded, stage, verdict)

    @property
    def _fewest(self) -> int:
        secure = self.study.secure_aggregation
        if secure is None:
            raise StudyError("scores were to be summed in a study without [secure_aggregation]")
        return secure.fewest

    def _phases(self, state: Checkpoint, builder: InstructionBuilder, of: Purpose, row: str) -> SumPhases:
        roster, number = read_roster(self.roster, self.study.name), state.server_round

        def write(kind: Kind, center: str, request: SumRequest | None) -> Instruction:
            return builder.of_sum(kind, state, center, number, request, row)

        place = (self.study.name, row or builder.stage.name, number)
        return SumPhases(place, of, self._fewest, roster, write, self.ask)

    def _told(self, answer: CenterAnswer, behind: Collection[str]) -> Comparison | None:
        """Whether a center has a voice, has none, or is away; what it says nobody knows."""
        if answer.reply.error:
            return NO_VOICE if answer.reply.error in LASTING else None
        return A_VOICE if answer.center in behind else NO_VOICE

    def _check_heard(
        self,
        builder: InstructionBuilder,
        asked: Collection[str],
        answers: Mapping[str, CenterAnswer],
        behind: Mapping[str, Collection[str]],
        opening: Collection[str],
    ) -> None:
        """Refuse to open a sum on which nothing can be decided: with who is away now it could not be opened again."""
        stage, gone, voices = builder.stage.name, self.gone(), behind[COMPARISON]
        told = {center: self._told(answers[center], voices) if center in answers else None for center in asked}
        check_stage_heard(builder, told, gone)
        earlier = set() if trains_backbone(builder) else of_earlier_stages(builder)
        if away := sorted(center for center in earlier - set(gone) if told.get(center) is None):
            raise QuorumError(
                f"stage '{stage}': earlier center(s) {away} could not be asked about the candidate, and where "
                "comparisons are summed nobody can be spared one that harms it; the rounds are kept, resume when they "
                "are back, revoke who is gone for good, or run the study with gate = false"
            )
        if COMPARISON not in opening:
            is_lasting = all(told.get(center) is not None for center in asked if center not in gone)
            raise (NoVoiceError if is_lasting else QuorumError)(
                f"stage '{stage}': {len(voices)} center(s) compared the candidate ({list(voices)}), and a sum of so "
                f"few, or of one that outweighs the others, stays closed; at least {self._fewest} are needed. The "
                "rounds are kept; resume when more have validation cases, or run the study with gate = false"
            )


def summed_scores_of(study: Study, roster: Path, ask: AskAll, gone: Gone) -> SummedScores | None:
    """Who asks for sums of scores; None where each center's leave."""
    return SummedScores(study, roster, ask, gone) if sums_scores(study.secure_aggregation) else None


def figures_of(study: Study, centers: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Row of a sum of scores -> the centers whose modalities reach its setting, of the settings that any reaches."""
    reached: dict[ModalitySetting, tuple[str, ...]] = {
        setting: tuple(name for name in centers if parts_of(setting) <= set(study.centers[name].modalities))
        for setting in SETTINGS
    }
    names = list(metric_names(study.tasks, study.labels.endpoints))
    return {figure_name(setting, name): found for setting, found in reached.items() if found for name in names}


def row_of_totals(row: str, rows: Mapping[str, Collection[str]], found: ScoreTotals) -> StageRow:
    """A row of which `ALL_CENTERS` holds the totals; what has no total and somebody behind it is suppressed."""
    test: dict[ModalitySetting, Score] = {}
    held: dict[ModalitySetting, tuple[str, ...]] = {}
    for setting in SETTINGS:
        names = [name.partition("/")[2] for name in rows if name.partition("/")[0] == setting]
        known = {name: figure_name(setting, name) for name in names if figure_name(setting, name) in found.totals}
        totals = {name: figure_sum(key, found.totals[key]) for name, key in known.items()}
        cases = max((total.cases for total in totals.values()), default=0)
        if totals:
            undefined = {name: cases - total.cases for name, total in totals.items()}
            test[setting] = Score(cases, {name: total.value for name, total in totals.items()}, undefined)
        if closed := [name for name in names if name not in totals and _is_held(figure_name(setting, name), found)]:
            held[setting] = tuple(sorted(closed))
    answers = found.answers
    by_center = {name: told for name, answer in answers.items() if (told := answer.reply.suppressed).scores}
    return StageRow(
        row,
        test={ALL_CENTERS: test} if test else {},
        bytes_down={center: answer.bytes_down for center, answer in answers.items()},
        seconds={center: answer.reply.seconds for center, answer in answers.items()},
        errors={center: answer.reply.error for center, answer in answers.items() if answer.reply.error},
        suppressed={**by_center, **({ALL_CENTERS: Suppressed(held)} if held else {})},
    )


def _is_held(name: str, found: ScoreTotals) -> bool:
    """Whether a figure that was not opened may be there; nobody behind a row of the plan is all that says it is not."""
    return bool(found.behind.get(name, (name,)))
