"""The local terms by name: the fields of `protocol.messages.settings.LocalTerms`, each with its builder."""

from collections.abc import Callable, Mapping

from torch import nn

from client.local_terms.contract import Builder, LocalTerm, Round
from client.local_terms.distillation import build_distillation
from client.local_terms.ditto import build_ditto
from client.local_terms.ewc import build_ewc
from client.local_terms.gram_anchor import build_gram_anchor
from client.local_terms.orthogonality import build_orthogonality
from client.local_terms.proximal import build_proximal
from client.local_terms.scaffold import build_scaffold
from protocol.messages.settings import StudySettings, Training
from protocol.messages.tensors import Tensors

TERMS: Mapping[str, Builder] = {
    "proximal": build_proximal,
    "scaffold": build_scaffold,
    "gram_anchor": build_gram_anchor,
    "ewc": build_ewc,
    "distillation": build_distillation,
    "orthogonality": build_orthogonality,
    "ditto": build_ditto,
}


def build_terms(
    model: nn.Module,
    training: Training,
    instruction_tensors: Tensors,
    reference: Tensors,
    settings: StudySettings,
    make_model: Callable[[Tensors], nn.Module],
    steps: int,
) -> list[LocalTerm]:
    """The local terms that a round asks for, in the table's order; none when all weights are 0.

    A term that needs a memory (a Gram sketch, a Fisher, a reference, a residual) and finds none is left out: nothing was
    learnt before, so there is nothing to keep.

    Args:
        model: with the received tensors loaded and `requires_grad` set on what the round trains.
        instruction_tensors: what was received, statistics with `@` included.
        reference: the shared state accepted before the stage; empty when there is none.
        make_model: a network with the given tensors on the frozen backbone; called for teacher and own copy only.
        steps: how many steps the loop will take.

    Raises:
        ModelError: a remembered statistic does not fit the model, or its reference is missing.
    """
    around = Round(model, training, instruction_tensors, reference, settings, make_model, steps)
    wanted = [build for name, build in TERMS.items() if getattr(training.terms, name)]
    return [term for build in wanted if (term := build(around)) is not None]
