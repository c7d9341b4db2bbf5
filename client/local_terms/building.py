"""From the weights of a round to its local terms: the code of a term is found under its name in the table."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module

from torch import nn

from client.local_terms.contract import Build, LocalTerm, Round
from client.tasks.contract import CenterTask
from protocol.errors import ModelError
from protocol.messages.settings import StudySettings, Training
from protocol.messages.tensors import Tensors
from strategies.continual.terms import TERMS, check_weights


def build_terms(
    model: nn.Module,
    training: Training,
    instruction_tensors: Tensors,
    reference: Tensors,
    settings: StudySettings,
    task: CenterTask,
    pathways: Mapping[str, Sequence[str]],
    make_model: Callable[[Tensors], nn.Module],
    steps: int,
) -> list[LocalTerm]:
    """The local terms that a round asks for, in the table's order; none when all weights are 0.

    A term that needs a memory (a Gram sketch, a Fisher, a reference, a residual) and finds none is left out: nothing
    was learnt before, so there is nothing to keep.

    Args:
        model: with the received tensors loaded and `requires_grad` set on what the round trains.
        instruction_tensors: what was received, statistics with `@` included.
        reference: the shared state accepted before the stage; empty when there is none.
        task: what the round trains for.
        pathways: group -> module prefixes of the model's pathways.
        make_model: a network with the given tensors on the frozen backbone; called for teacher and own copy only.
        steps: how many steps the loop will take.

    Raises:
        ModelError: the round asks for a term that this center does not have, a remembered statistic does not fit the
            model, or its reference is missing.
    """
    try:
        weights = check_weights(training.terms)
    except ValueError as error:
        raise ModelError(f"the round's local terms cannot be built: {error}; install the study's release") from error
    around = Round(model, training, instruction_tensors, reference, settings, task, pathways, make_model, steps)
    found = [build_of(name)(around, weights[name]) for name in TERMS if weights[name]]
    return [term for term in found if term is not None]


def build_of(name: str) -> Build:
    """`build` of the module of a term's name."""
    build: Build = import_module(f"client.local_terms.{name}").build
    return build
