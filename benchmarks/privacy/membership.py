"""What an adapter gives away of its patients, with and without differential privacy: one center of real cases.

    python benchmarks/privacy/membership.py --data DATA/sts --out OUT [--epsilon 8 --epsilon 1] [--hours 0.4]

Two folders of one PET protocol are one center; half of its patients train, the others never do. The backbone is
trained on the other folders alone. Adapter and PET pathway are trained on it, once without a guarantee and once for
each epsilon, and each is attacked by the code of `concilium-center audit`. What is finished is kept in OUT: an
interrupted run goes on. The last line is one JSON object.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from client.audit.audit_run import audit
from client.audit.pool import AuditPool
from client.audit.shadow_training import train_like
from client.audit.target import AuditTarget
from client.data.preprocessing import PreparedCase, prepare_case
from client.data.scan import scan_center
from client.learning.assembly import arrays_of, assemble_fresh, row_of, tensor_specs
from client.learning.trainable import train_only
from client.learning.training import train_locally
from client.scores.scoring import Network
from client.tasks.building import build_task
from fusion_models.adapters.keys import parameters_by_key
from protocol.errors import CancelledError
from protocol.messages.audit import Audit
from protocol.messages.privacy import Privacy
from protocol.messages.settings import Adapter, Model, Preprocessing, StudySettings, Training
from protocol.messages.tensors import BACKBONE, content_hash
from protocol.storage.atomic_files import write_text
from strategies.bank.entry import Entry

OWN, OTHERS = ("center-a", "center-d"), ("center-b", "center-c")
FORMED_BY = "centers formed by acquisition protocol"
SETTINGS = StudySettings(
    study="membership",
    seed=0,
    model=Model(name="pemma-unetr-small"),
    adapter=Adapter(rank=8, alpha=16),
    preprocessing=Preprocessing(spacing_zyx_mm=(4, 4, 4), pet_window_suv=(0, 15), crop_zyx=(32, 32, 32)),
)
PRETRAINED = Training(groups=(BACKBONE,), local_steps=300, learning_rate=2e-3, modality_shares={"ct": 1.0})
ADAPTED = Training(
    groups=("pet", "fusion", "peft"), local_steps=150, learning_rate=1e-3, modality_shares={"ct+pet": 1.0}
)


def main() -> None:
    """Run or go on, and print what was found."""
    given = arguments()
    torch.set_num_threads(given.threads)
    end = time.monotonic() + 3600 * given.hours

    def check() -> None:
        if time.monotonic() > end:
            raise CancelledError(f"{given.hours} hours are over; the same command goes on")

    given.out.mkdir(parents=True, exist_ok=True)
    pool, backbone = half_train(read(given.data, OWN)), pretrained(given, check)
    found = {}
    for name, settings in arms(given.epsilon, given.delta):
        audited = attack(name, settings, backbone, pool, given, check)
        found[name] = audited.model_dump(mode="json", by_alias=True)
        for line in lines_of(name, audited):
            print(line, flush=True)
    print(json.dumps({"formed_by": FORMED_BY, "patients": len(pool.names), "arms": found}))


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with one folder a center")
    parser.add_argument("--out", type=Path, required=True, help="what is finished is kept here")
    parser.add_argument("--epsilon", type=float, action="append", default=[], help="an arm with this guarantee")
    parser.add_argument("--delta", type=float, default=1e-2, help="of all arms with a guarantee")
    parser.add_argument("--shadows", type=int, default=16)
    parser.add_argument("--steps", type=int, default=ADAPTED.local_steps, help="of an adapter")
    parser.add_argument("--pretrain-steps", type=int, default=PRETRAINED.local_steps, help="of the backbone")
    parser.add_argument("--hours", type=float, default=1.0, help="stop after so long")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def arms(epsilons: Sequence[float], delta: float) -> Iterator[tuple[str, StudySettings]]:
    """Name and settings of each arm, the one without a guarantee first."""
    yield "none", SETTINGS
    for epsilon in epsilons:
        privacy = Privacy(epsilon=epsilon, delta=delta, clip_norm=1.0)
        yield f"epsilon-{epsilon:g}", SETTINGS.model_copy(update={"privacy": privacy})


def read(data: Path, folders: Sequence[str]) -> dict[str, PreparedCase]:
    """The prepared cases of some folders, by name; each is a patient."""
    manifest = scan_center("own", [data / folder for folder in folders], ("ct", "pet"))
    return {
        case.name: prepare_case(case.name, case.paths, SETTINGS.preprocessing)
        for case in manifest.usable
        if case.has_target("segmentation")
    }


def half_train(cases: dict[str, PreparedCase]) -> AuditPool:
    """A random half of the patients train."""
    names = sorted(cases)
    members = set(np.random.default_rng(SETTINGS.seed).permutation(names)[: len(names) // 2])
    return AuditPool(tuple(cases[name] for name in names), tuple(names), tuple(name in members for name in names))


def pretrained(given: argparse.Namespace, check: Callable[[], None]) -> dict[str, np.ndarray]:
    """The backbone, trained on the folders of others."""
    path = given.out / f"backbone-{given.pretrain_steps}.safetensors"
    if path.exists():
        return load_file(path)
    row = row_of(SETTINGS)
    model = assemble_fresh(SETTINGS, row, {})
    live = train_only(model, PRETRAINED.groups, row.pathways)
    training = PRETRAINED.model_copy(update={"local_steps": given.pretrain_steps})
    task, rng = build_task("segmentation", SETTINGS), np.random.default_rng(SETTINGS.seed)
    others = list(read(given.data, OTHERS).values())
    train_locally(model, live, others, task=task, training=training, model_settings=row.settings, rng=rng, check=check)
    backbone = {spec.key: spec.group for spec in tensor_specs(model, row.pathways)}
    arrays = {key: array for key, array in arrays_of(parameters_by_key(model)).items() if backbone[key] == BACKBONE}
    save_file(arrays, path)
    return arrays


def attack(
    name: str,
    settings: StudySettings,
    backbone: dict[str, np.ndarray],
    pool: AuditPool,
    given: argparse.Namespace,
    check: Callable[[], None],
) -> Audit:
    """Train an arm's adapter on the members, and attack it; what was done before is read."""
    kept = given.out / f"{name}-{given.steps}-{given.shadows}-{given.pretrain_steps}.json"
    if kept.exists():
        return Audit.model_validate_json(kept.read_text())
    training = ADAPTED.model_copy(update={"local_steps": given.steps})
    target = _target(name, settings, backbone, {}, training)
    file = given.out / f"{name}-{given.steps}-{given.pretrain_steps}.safetensors"
    if not file.exists():
        members = {
            patient: pool.of_patients([patient])
            for patient, is_in in zip(pool.names, pool.members, strict=True)
            if is_in
        }
        model = train_like(target, members, given.shadows, check)
        arrays = arrays_of(parameters_by_key(model))
        save_file({key: array for key, array in arrays.items() if key not in backbone}, file)
    target = _target(name, settings, backbone, load_file(file), training)

    def tell(done: int) -> None:
        print(f"{name}: {done} of {given.shadows} shadows", flush=True)

    found = audit("center-a+center-d", target, pool, given.shadows, given.out / "shadows", check, tell).found
    write_text(kept, found.model_dump_json(by_alias=True))
    return found


def _target(
    name: str,
    settings: StudySettings,
    backbone: dict[str, np.ndarray],
    tensors: dict[str, np.ndarray],
    training: Training,
) -> AuditTarget:
    digest, own = content_hash(backbone), content_hash(tensors)
    network = Network(settings, row_of(settings), backbone, digest, tensors, "cpu")
    entry = Entry(name, 1, "", "adapt", 1, None, digest, own, {}, len(tensors), 0)
    return AuditTarget(entry, network, {}, "segmentation", training)


def lines_of(name: str, audited: Audit) -> Iterator[str]:
    """What was found, a line an attack."""
    for row in audited.attacks:
        auc = "undefined" if row.auc is None else f"{row.auc:.3f} [{row.auc_low:.3f}, {row.auc_high:.3f}]"
        told = "" if row.told is None or row.mistaken is None else f"; {row.told.found} of {row.told.of} told"
        if row.mistaken is not None:
            told += f" where {row.mistaken.found} of {row.mistaken.of} are mistaken"
        yield f"{name}: {row.attack} AUC {auc}{told}"


if __name__ == "__main__":
    main()
