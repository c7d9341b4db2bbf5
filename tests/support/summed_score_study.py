"""The study with four centers whose sums alone are seen, scores and comparisons among them; center d has no PET.

What each scores and how its comparison ends is written here, so that every mean can be checked by hand.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from client.masking.masked_sums import MaskedSums
from client.outgoing.summed_figures import without_figures
from client.service.failure import perform_safely
from deploy.simulation.summed_keys import draw_keys
from protocol.messages.instruction import SCORE_KINDS, Instruction
from protocol.messages.reply import Reply
from protocol.messages.scores import Comparison
from server.study.directory import StudyDirectory
from server.study.file import read_study
from server.study.history import Scores
from tests.support.light_study import Light, LightCenter, light
from tests.support.segmentation_scores import dice_score
from tests.support.study_text import centers_text, stage_text
from tests.support.summed_study import CASES_OF, HEAD, NAMES, SummedCenter, UnequalCenter

DICE = {"a": 0.5123, "b": 0.6817, "c": 0.4, "d": 0.7071}
HD95_MM = {"a": 3.0, "b": 12.34, "c": None, "d": 250.01}
DIFFERENCES = {"a": 0.01, "b": -0.004, "c": 0.03, "d": 0.002}
ERRORS = {"a": 0.002, "b": 0.001, "c": 0.01, "d": 0.003}
SUMMED = '[secure_aggregation]\nscores = "summed"\n'
GATE = "gate = { liars = 0 }\nrollback = false"


def scores_of(name: str) -> Scores:
    """What a center scores; d has no PET, and nothing defines the HD95 of c."""
    cases = CASES_OF[name]
    found = dice_score(cases, DICE[name], HD95_MM[name], hd95_undefined=0 if HD95_MM[name] else cases)
    return {"ct": found} if name == "d" else {"ct": found, "ct+pet": found}


class PlainScores(UnequalCenter):
    """A center that says what it scores. differences: of its comparisons, where they are others."""

    differences: Mapping[str, float] = DIFFERENCES

    def _done(self, instruction: Instruction) -> Reply:
        reply, name = super()._done(instruction), self.name
        if reply.error or instruction.kind not in {"train", *SCORE_KINDS}:
            return reply
        scores = {} if instruction.kind == "compare" else scores_of(name)
        both = Comparison(CASES_OF[name], self.differences[name], ERRORS[name])
        return replace(reply, scores=scores, comparison=both if instruction.kind == "compare" else None)


class SummedScores(SummedCenter, PlainScores):
    """One whose trainer sums scores as a real one does. replies: all that left."""

    def _done(self, instruction: Instruction) -> Reply:
        reply = super()._done(instruction)
        if reply.error or instruction.kind not in {"train", *SCORE_KINDS}:
            return reply
        if instruction.kind in SCORE_KINDS and instruction.secure is not None:
            reply = perform_safely(partial(self.sums.mask_scores, reply), instruction)
        return self._sign(without_figures(reply), instruction)


def text_of(names: str = NAMES, stages: Sequence[tuple[str, str]] = ()) -> str:
    """A round of all centers, or several stages, each of (name, centers)."""
    head = HEAD.replace("gate = false", GATE) + SUMMED
    lines = {name: 'modalities = ["ct"]' for name in names if name == "d"}
    found = stages or (("adapt", names),)
    text = "".join(stage_text(name, own, kind="arrive", local_steps=1) for name, own in found)
    return head + centers_text(names, lines) + text


def summing_scores(folder: Path, text: str = "", names: str = NAMES) -> Light:
    """The study, prepared, its centers with keys of their own."""
    found = light(folder, text or text_of(names), names)
    directory = StudyDirectory(found.root)
    keys = draw_keys(read_study(directory.study_file), directory)
    centers: dict[str, LightCenter] = {}
    for name, center in found.centers.items():
        own = SummedScores(name, center.folder)
        own.key, own.sums = keys.keys[name], MaskedSums(name, keys.authority_pem)
        centers[name] = own
    return Light(found.root, centers)


def in_plain(folder: Path, text: str = "") -> Light:
    """The same study with each center's scores in the open."""
    found = light(folder, (text or text_of()).replace(SUMMED, ""), NAMES)
    return Light(found.root, {name: PlainScores(name, center.folder) for name, center in found.centers.items()})
