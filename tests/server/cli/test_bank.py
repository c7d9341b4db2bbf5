import json

import numpy as np
import pytest
from typer.testing import CliRunner

from protocol.messages.settings import Adapter, Model, StudySettings
from server.cli.app import app
from strategies.bank.bank import AdapterBank
from strategies.bank.peft_format import adapter_config
from strategies.bank.trained_alone import TRAINED_ALONE


@pytest.fixture
def root(tmp_path):
    bank = AdapterBank.create(
        tmp_path / "bank",
        StudySettings(study="toy", seed=0, model=Model(name="tiny")),
        adapter_config(Adapter(), targets=["qkv"], modules_to_save=[]),
    )
    backbone = bank.put_backbone({"w": np.zeros(3, np.float32)})
    for number in (1, 2):
        tensors = {"qkv#lora_a": np.full((8, 4), number, np.float32)}
        support = {"peft": 5}
        bank.add("shared", tensors, center="", stage="adapt", server_round=number, backbone=backbone, support=support)
    return bank.root


def run(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


def test_list_shows_every_version_and_marks_the_one_in_use(root):
    code, out, _ = run("bank", "list", "--bank", root)
    rows = [line.split("│") for line in out.splitlines() if "shared" in line]
    assert code == 0
    assert [(row[1].strip(), row[3].strip(), row[8].strip()) for row in rows] == [("", "1", "128"), ("*", "2", "128")]


def test_what_was_trained_alone_is_told_in_list_and_show(root):
    bank = AdapterBank(root)
    tensors = {"qkv#lora_a": np.zeros((8, 4), np.float32)}
    found = bank.head("shared")
    facts = {"center": "mda", "stage": "alone-mda", "server_round": 9, "backbone": found.backbone, "support": {}}
    bank.add("mda", tensors, **facts, parent=found.reference, provenance=TRAINED_ALONE)
    listed, shown = run("bank", "list", "--bank", root)[1], run("bank", "show", "mda", "--bank", root)[1]
    assert "alone-mda, trained alone in as many steps" in listed
    assert "trained alone in as many steps" in shown
    assert "provenance" not in run("bank", "show", "shared", "--bank", root)[1]


def test_show_prints_whole_hashes_and_tensors(root):
    code, out, _ = run("bank", "show", "shared", "--bank", root, "--version", 1)
    entry = AdapterBank(root).entry("shared", 1)
    assert code == 0
    assert entry.sha256 in out
    assert entry.backbone in out
    assert "qkv#lora_a" in out
    assert "(8, 4)" in out


def test_rollback_moves_the_version_in_use(root):
    code, out, _ = run("bank", "rollback", "shared", 1, "--bank", root)
    assert (code, out) == (0, "shared: version 1 is in use now, before it was 2\n")
    assert AdapterBank(root).head("shared").version == 1


def test_export_writes_a_peft_directory(root, tmp_path):
    code, out, _ = run("bank", "export", "shared", tmp_path / "out", "--bank", root)
    assert code == 0
    assert out.startswith("shared/0002 (")
    assert json.loads((tmp_path / "out" / "adapter_config.json").read_text())["peft_type"] == "LORA"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("list", "--bank", "nowhere"), "no adapter bank at nowhere"),
        (("show", "center-z"), "has no adapter 'center-z'; it holds: ['shared']"),
        (("show", "../x"), "'../x' is not an adapter's name"),
        (("rollback", "shared", "9"), "has no version 9"),
        (("export", "shared", "."), "not empty"),
    ],
)
def test_an_error_is_one_message_and_exit_code_one(root, monkeypatch, arguments, message):
    monkeypatch.chdir(root.parent)
    code, out, err = run("bank", *arguments)
    assert (code, out) == (1, "")
    assert err.startswith("error (")
    assert message in err
    assert "Traceback" not in err


def test_wrong_usage_is_exit_code_two(root):
    assert run("bank", "rollback", "shared")[0] == 2
    assert run("bank", "rollback", "shared", "one", "--bank", root)[0] == 2
