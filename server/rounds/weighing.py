"""What the centers of a round weigh: by counts that were agreed with them, not by what a payload says of itself."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from server.study.checkpoint import Checkpoint
from server.study.file import Study
from server.study.history import RoundRecord
from strategies.shares import capped_weights


def agree(state: Checkpoint, cases: Mapping[str, Mapping[str, int]]) -> Checkpoint:
    """The state with the cases of centers that registered for the first time in the study.

    Args:
        state: keeps what earlier registrations said.
        cases: center -> part -> number of cases, as registered now.
    """
    train, validation = ({name: parts[part] for name, parts in cases.items()} for part in ("train", "validation"))
    return replace(
        state,
        agreed_cases={**train, **state.agreed_cases},
        agreed_validation_cases={**validation, **state.agreed_validation_cases},
    )


def most_cases(study: Study, state: Checkpoint) -> dict[str, int]:
    """The most training cases of each center that count: those of the study file, else of its first registration."""
    return {**state.agreed_cases, **named_cases(study)}


def weights_of(records: Iterable[RoundRecord], study: Study, state: Checkpoint) -> dict[str, dict[str, float]]:
    """Group -> center -> its weight in a round, of the centers whose update may enter it."""
    supports = {record.center: record.support for record in records if not record.error}
    groups = sorted({group for support in supports.values() for group in support})
    settings = study.strategy.aggregation
    return {
        group: capped_weights(
            {center: support[group] for center, support in supports.items() if group in support},
            exponent=settings.weight_exponent,
            maximum_share=settings.maximum_share,
            limits=most_cases(study, state),
            agreed=named_cases(study),
        )
        for group in groups
    }


def named_cases(study: Study) -> dict[str, int]:
    """The centers whose training cases the study file names."""
    named = {name: center.training_cases for name, center in study.centers.items()}
    return {name: cases for name, cases in named.items() if cases is not None}
