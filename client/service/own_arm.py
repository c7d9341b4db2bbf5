"""The adapter that a center trains alone beside a study, so that it can say what federation brought it.

    alone/<study>.safetensors    its tensors, under the digest of the study's settings; metadata: where it stands
    alone/moments/               as `client.optimisation.moments` has them, where the recipe keeps them

Each round that moves adapters or pathways is trained twice: first by this arm, from where it stood, then as the
instruction says. Both see the same cases in the same draws, and the arm takes as many steps. It begins on the study's
frozen backbone as the study draws adapters and pathways, trains all roles of the adapter in each round, and no local
term: nothing that any other center taught comes into it.

The arm's round is on the disk before the instruction's own begins. A trainer that is ended there, or in it, does not
train the arm again when it is asked the same; one that is ended within the arm's round begins that round anew. Nothing
of it changes what the instruction trains, and no tensor of it is ever in a reply.
"""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from client.data.preprocessing import PreparedCase
from client.learning.assembly import arrays_of, assemble_fresh
from client.learning.cancellation import Check
from client.learning.outcome import round_generator
from client.learning.trainable import train_only
from client.learning.training import train_locally
from client.optimisation.moments import KeptMoments
from client.scores.benefits import References
from client.scores.scoring import Network
from client.tasks.building import build_task
from fusion_models.adapters.keys import parameters_by_key
from protocol.errors import ModelError, PayloadError
from protocol.messages.instruction import Instruction
from protocol.messages.reference import trains_alone
from protocol.messages.settings import ROLES, StudySettings, Training, settings_digest
from protocol.messages.tensors import BACKBONE, Tensors, content_hash, group_of
from protocol.packed_tensors import WIDEST, BlobBounds, pack, read_metadata, unpack
from protocol.storage.atomic_files import remove_unfinished, write_private
from protocol.storage.regular_files import read_whole

logger = logging.getLogger(__name__)

FOLDER, DIGITS = "alone", 16
FACTS = ("backbone", "stage", "last_round", "steps", "ended")
BOUNDS = BlobBounds(WIDEST.tensors, WIDEST.tensor_bytes, text_bytes=1 << 16)
NOTHING: Tensors = MappingProxyType({})


@dataclass(frozen=True)
class Arm:
    """Where the arm stands.

    tensors: all that lies on the backbone. backbone: content hash of it. stage, last_round: the round that it trained
    last. steps: all that it took. ended: why nothing can be said of it any more; "" where it goes on.
    """

    tensors: Tensors = field(default_factory=dict)
    backbone: str = ""
    stage: str = ""
    last_round: int = 0
    steps: int = 0
    ended: str = ""

    @property
    def digest(self) -> str:
        """What an answer about the arm stands on, beside what else it stands on."""
        return content_hash(self.tensors) if self.tensors else self.ended


class OwnArm:
    """The arm of one center.

    Args:
        home: where it is kept.
        center: whose it is.
        draw_key: what its draws come from beside the study's seed.
    """

    def __init__(self, home: Path, center: str, draw_key: bytes) -> None:
        self._folder, self._center, self._draw_key = home / FOLDER, center, draw_key
        self._moments = KeptMoments(self._folder / "moments")

    def train(
        self, network: Network, asked: Instruction, groups: Sequence[str], cases: Sequence[PreparedCase], check: Check
    ) -> None:
        """Take the arm through a round, unless it has; a round that trains the backbone is none of its own.

        Args:
            network: that the instruction describes; its model is not touched.
            asked: the instruction.
            groups: that the center trains in it.
            cases: that train.
            check: called before each step.

        Raises:
            CancelledError, ExcessiveError: `check` raised it.
            StorageError: the disk refuses.
        """
        training = asked.training
        if training is None or BACKBONE in training.groups:
            return
        arm = self.read(asked.settings) or Arm(_start(network), network.backbone_hash)
        if arm.ended or asked.server_round <= arm.last_round:
            return
        try:
            after = self._round(arm, network, asked, training, groups, cases, check)
        except ModelError as error:
            logger.warning("the center's own arm ends in round %d: %s", asked.server_round, error)
            after = replace(arm, tensors=NOTHING, ended=str(error))
        self._write(asked.settings, after)

    def read(self, settings: StudySettings) -> Arm | None:
        """Where the arm of a study stands; None before its first round. One that is damaged has ended."""
        path = self._path(settings)
        return _read(path) if path.exists() else None

    def references(self, network: Network, asked: Instruction) -> References | None:
        """What a center holds a network against that it is served; None where the study does not ask, or too early.

        An arm that is ahead of what is served, since the study went back, says nothing until the study has caught up.
        """
        arm = self.read(asked.settings) if trains_alone(asked.settings.reference) else None
        if arm is None or arm.last_round > asked.server_round:
            return None
        alone = None if arm.ended or arm.backbone != network.backbone_hash else replace(network, tensors=arm.tensors)
        return References(alone, replace(network, tensors=NOTHING))

    def said_of(self, asked: Instruction) -> str:
        """What the answer to a question stands on of the arm; "" where it stands on nothing of it."""
        arm = self.read(asked.settings) if asked.kind == "evaluate" and trains_alone(asked.settings.reference) else None
        return "" if arm is None else f"{arm.last_round}|{arm.digest}"

    def _round(
        self,
        arm: Arm,
        network: Network,
        asked: Instruction,
        training: Training,
        groups: Sequence[str],
        cases: Sequence[PreparedCase],
        check: Check,
    ) -> Arm:
        """The arm after one more round.

        Raises:
            ModelError: it came apart.
        """
        settings, row, model = network.settings, network.row, network.variant(arm.tensors)
        place = replace(asked, continues=arm.last_round if arm.stage == asked.stage else 0)
        parameters, begun = train_only(model, groups, row.pathways), self._moments.start_of(place)
        if not parameters:
            return arm
        trained = train_locally(
            model,
            parameters,
            cases,
            task=build_task(asked.task, settings, training.recipe),
            training=training.model_copy(update={"roles": ROLES, "terms": {}}),
            model_settings=row.settings,
            rng=round_generator(asked, self._center, self._draw_key),
            check=check,
            moments=begun,
        )
        moved = arrays_of(parameters)
        if not all(np.isfinite(array).all() for array in moved.values()):
            raise ModelError("a tensor that it trained is not finite any more")
        self._moments.end(place, trained.moments)
        self._moments.keep(place)
        return Arm(
            tensors={**arm.tensors, **moved},
            backbone=network.backbone_hash,
            stage=asked.stage,
            last_round=asked.server_round,
            steps=arm.steps + training.local_steps,
        )

    def _write(self, settings: StudySettings, arm: Arm) -> None:
        """Replace what was kept."""
        facts = json.dumps({name: getattr(arm, name) for name in FACTS})
        write_private(self._path(settings), pack(arm.tensors, {"facts": facts, "sha256": _digest(facts, arm.tensors)}))
        remove_unfinished(self._folder)

    def _path(self, settings: StudySettings) -> Path:
        return self._folder / f"{settings_digest(settings)[:DIGITS]}.safetensors"


def _start(network: Network) -> Tensors:
    """Adapters and pathways as the study draws them, on the network's backbone."""
    model = assemble_fresh(network.settings, network.row, network.backbone, device=network.device)
    arrays = arrays_of(parameters_by_key(model))
    return {key: array for key, array in arrays.items() if group_of(key, network.row.pathways) != BACKBONE}


def _read(path: Path) -> Arm:
    """What was kept; what is not as it was written is an arm that has ended."""
    try:
        data = read_whole(path)
        tensors, metadata = unpack(data, BOUNDS), read_metadata(data, BOUNDS)
        if metadata["sha256"] != _digest(metadata["facts"], tensors):
            raise ValueError("its content has another hash")
        return Arm(tensors, **json.loads(metadata["facts"]))
    except (OSError, ValueError, TypeError, KeyError, PayloadError) as error:
        logger.warning("the center's own arm %s is damaged (%s); nothing can be said of it in this study", path, error)
        return Arm(ended="its file is damaged")


def _digest(facts: str, tensors: Tensors) -> str:
    return hashlib.sha256(f"{content_hash(tensors)}|{facts}".encode()).hexdigest()
