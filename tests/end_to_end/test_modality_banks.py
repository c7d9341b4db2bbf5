"""Adapter banks by modality through a whole federation: what a center without PET can move, and what it cannot.

Two centers of the synthetic cohort, center-d without PET, train banks of the smallest PEMMA through the platform's
own rounds; then center-d trains alone.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel

from client.learning.assembly import assemble, row_of
from fusion_models.adapters.injection import modules_matching
from fusion_models.adapters.routing import insert_banks
from protocol.messages.instruction import Instruction
from protocol.messages.payload import Payload
from protocol.messages.tensors import Tensors, bank_of, role_of
from strategies.bank.bank import AdapterBank
from tests.support.federation import CENTERS, Federation, federation
from tests.support.small_study import write_cohort
from tests.support.smallest_models import inputs
from tests.support.study_text import centers_text, head_text, stage_text

pytestmark = pytest.mark.usefixtures("no_report")

NETWORK = """[model]
name = "pemma-unetr-tiny"
[adapter]
rank = 2
alpha = 4
routing = "modality"
[preprocessing]
spacing_zyx_mm = [10.0, 10.0, 10.0]
crop_zyx = [16, 16, 16]
[split]
validation = 0
test = 0.34
"""
STAGES = (stage_text("adapt", CENTERS, rounds=2) + stage_text("arrive", CENTERS[1:], kind="arrive", rounds=2)).replace(
    "1e-3", "1e-2"
)


def study(strategy: str = "") -> str:
    head = head_text("banks", "Adapter banks by modality", "seed = 5\nquorum = 1")
    centers = centers_text(CENTERS, {"center-d": 'modalities = ["ct"]'})
    return f"{head}{NETWORK}[strategy]\ngate = false\n{strategy}{centers}{STAGES}"


@dataclass(frozen=True)
class Run:
    """A federation that ran, and what its stages began and ended with."""

    found: Federation

    @property
    def bank(self) -> AdapterBank:
        return AdapterBank(self.found.directory.bank)

    def shared(self, stage: str) -> Tensors:
        """The shared adapter after a stage."""
        entry = next(entry for entry in self.bank.entries() if (entry.name, entry.stage) == ("shared", stage))
        return self.bank.tensors(entry)

    def served(self, center: str, stage: str) -> Tensors:
        """What a center is scored with after a stage: what is shared and what is its own."""
        return next(
            asked.tensors
            for asked, reply in self.found.notes
            if (asked.kind, asked.stage, reply.center) == ("evaluate", stage, center)
        )

    def answer(self, tensors: Tensors, setting: str) -> torch.Tensor:
        """Logits of the network that these tensors describe."""
        settings, backbone = self.bank.settings, self.bank.backbone(self.bank.head("shared").backbone)
        with torch.no_grad():
            found: torch.Tensor = assemble(settings, row_of(settings), backbone, tensors).eval()(
                *inputs("pemma-unetr-tiny", setting)
            )
        return found

    def payloads(self, center: str, stage: str) -> list[tuple[Instruction, Payload]]:
        return [
            (asked, reply.payload)
            for asked, reply in self.found.notes
            if (asked.kind, asked.stage, reply.center) == ("train", stage, center) and reply.payload is not None
        ]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cohort(tmp_path_factory.mktemp("cohort"))


def ran(folder: Path, data: Path, strategy: str = "") -> Run:
    found = federation(folder, data, study(strategy))
    found.run()
    return Run(found)


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return ran(tmp_path_factory.mktemp("banks"), data)


def moved(before: Tensors, after: Tensors) -> set[str]:
    """The banks of the adapter tensors that changed by any bit."""
    return {bank_of(key) for key in after if role_of(key) and not np.array_equal(before[key], after[key])}


def test_a_center_without_pet_sends_the_bank_of_ct_alone(run: Run) -> None:
    """Omitted, not sent unchanged: an unchanged copy would be a vote for the old value."""
    for _, payload in (*run.payloads("center-d", "adapt"), *run.payloads("center-d", "arrive")):
        assert {bank_of(key) for key in payload.tensors} == {"ct"}
        assert set(payload.support) == {"peft.ct"}


def test_a_center_with_both_sends_every_bank_with_the_cases_behind_each(run: Run) -> None:
    (_, payload), *_ = run.payloads("center-a", "adapt")
    assert {bank_of(key) for key in payload.tensors if role_of(key)} == {"ct", "pet", "fusion"}
    assert set(payload.support) == {"peft.ct", "peft.pet", "peft.fusion", "pet", "fusion"}
    assert payload.support["peft.fusion"] <= payload.support["peft.pet"] == payload.support["pet"]


def test_of_a_bank_that_one_center_owns_the_mean_is_that_centers(run: Run) -> None:
    (_, alone), *_ = run.payloads("center-a", "adapt")
    following = run.payloads("center-a", "adapt")[1][0].tensors
    of_pet = [key for key in alone.tensors if bank_of(key) == "pet"]
    assert of_pet
    assert all(np.array_equal(following[key], alone.tensors[key]) for key in of_pet)
    of_ct = [key for key in alone.tensors if bank_of(key) == "ct"]
    assert not any(np.array_equal(following[key], alone.tensors[key]) for key in of_ct)


def test_rounds_of_a_center_without_pet_move_no_bit_that_pet_alone_needs(run: Run) -> None:
    before, after = run.shared("adapt"), run.shared("arrive")
    assert moved(before, after) == {"ct"}
    for setting, same in (("pet", True), ("ct", False), ("ct+pet", False)):
        first, second = (run.answer(tensors, setting) for tensors in (before, after))
        assert torch.equal(first, second) == same, setting


def test_peft_itself_loads_the_banks_once_the_network_has_their_modules(run: Run) -> None:
    """As the documents of the bank say: put the banks in, then load the folder."""
    settings, bank = run.bank.settings, run.bank
    row, entry = row_of(settings), bank.head("shared")
    ours = assemble(settings, row, bank.backbone(entry.backbone), bank.tensors(entry)).eval()
    bare = assemble(settings, row, bank.backbone(entry.backbone), {}).eval()
    insert_banks(bare, modules_matching(bare, row.adapter_targets, row.pathway_modules))
    theirs = PeftModel.from_pretrained(bare, str(bank.root / "adapters" / "shared" / f"{entry.version:04d}")).eval()
    with torch.no_grad():
        for setting in row.settings:
            given = inputs("pemma-unetr-tiny", setting)
            assert torch.equal(theirs(*given), ours(*given)), setting


def test_nothing_that_a_strategy_or_recipe_keeps_lets_it_move_them_either(data: Path, tmp_path: Path) -> None:
    """Residuals, what is a center's own, an anchor and an average: center-a is served the same for PET.

    The Gram anchor reads each bank's own inputs, and center-d observes CT's alone.
    """
    strategy = 'personal = ["center", "norm"]\n[strategy.aggregation]\nscheme = "product-exact"\n'
    recipe = "[training]\nema = 0.5\nclip_norm = 1.0\n"
    found = ran(tmp_path, data, f"{strategy}[strategy.terms]\ngram_anchor = 1.0\n{recipe}")
    seen = [r.payload for i, r in found.found.notes if (i.kind, r.center) == ("observe", "center-d") and r.payload]
    assert seen
    assert all({about_bank(key) for key in payload.tensors} == {"ct"} for payload in seen)
    before, after = found.served("center-a", "adapt"), found.served("center-a", "arrive")
    assert any(role_of(key).startswith("residual") for key in before)
    assert {bank for bank in moved(before, after) if bank} == {"ct"}
    first, second = (found.answer(tensors, "pet") for tensors in (before, after))
    assert torch.equal(first, second)


def about_bank(key: str) -> str:
    """The bank of the module or tensor that a statistic is about."""
    about = key.partition("@")[0]
    return bank_of(about if "#" in about else f"{about}#lora_a")
