"""What a study file leaves out means what it meant when the study was prepared; where it would not, that is told.

tensors.json   which tensors the study has: the start of the PET pathway and the adapted modules show in it
recipe.json    [training] with every default, as it was; an earlier version, whose gates had the rate of all, kept none
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from client.learning.assembly import study_specs
from protocol.errors import StudyError
from protocol.local_steps import is_gate
from protocol.messages.tensors import PEFT, TensorSpec, module_of, role_of, weight_of
from protocol.storage.atomic_files import make_private_folder, write_text
from protocol.storage.regular_files import read_whole
from server.study.directory import RECIPE, SPECS, read_prepared
from server.study.file import Study

EARLIER: Mapping[str, object] = {"gate_rate": 1.0}


def keep_recipe(root: Path, study: Study) -> None:
    """Write what [training] of a study means today beside what is prepared."""
    make_private_folder(root)
    write_text(root / RECIPE, study.training.model_dump_json(indent=1))


def refuse_other_defaults(root: Path, study: Study) -> None:
    """Refuse a prepared study whose file means something else today.

    Raises:
        StudyError: names what its file would have to say; or the directory is not complete, or was changed.
    """
    before = frozenset(read_prepared(root).specs)
    written = [*_unwritten_options(study, before), *_unwritten_recipe(root, study, before)]
    if written:
        raise StudyError(
            f"{root} was prepared when what its study file leaves out meant something else: {' and '.join(written)}. "
            "End it with the version that began it, or write this into the file and prepare it in another directory"
        )


def _unwritten_options(study: Study, before: frozenset[TensorSpec]) -> Iterator[str]:
    """What [model.options] and [adapter] would have to say for the study to have the tensors that it has."""
    adapted = any(PEFT in stage.trained for stage in study.stages)
    now = {spec for spec in study_specs(study.settings.model_dump_json()) if adapted or not role_of(spec.key)}
    changed = {spec.key for spec in now ^ before}
    if any(map(is_gate, changed)):
        yield '`pathway = "published"` in [model.options]'
    if any(map(role_of, changed)):
        modules = {weight_of(module_of(spec.key)).removesuffix(".weight") for spec in before if role_of(spec.key)}
        yield f"`targets = {json.dumps(sorted(modules))}` in [adapter]"
    if changed and not any(is_gate(key) or role_of(key) for key in changed):
        yield f"options of model '{study.model.name}' under which tensor '{min(changed)}' is as in {SPECS}"


def _unwritten_recipe(root: Path, study: Study, before: frozenset[TensorSpec]) -> Iterator[str]:
    """What [training] would have to say for the study to train as it began; a rate of gates matters where there are."""
    kept = json.loads(read_whole(root / RECIPE)) if (root / RECIPE).exists() else EARLIER
    now = study.training.model_dump(mode="json")
    for name, value in kept.items():
        idle = name == "gate_rate" and not any(is_gate(spec.key) for spec in before)
        if name not in study.training.model_fields_set and now.get(name) != value and not idle:
            yield f"`{name} = {json.dumps(value)}` in [training]"
