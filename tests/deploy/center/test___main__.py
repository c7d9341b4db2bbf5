"""`python -m deploy.center` is the command, and its trainer comes without Flower, a network, or idle libraries."""

import subprocess
import sys
from pathlib import Path

from client.home.center_home import CenterHome
from deploy.center.programs import trainer_program

PRINTED = """
import runpy, sys
sys.argv = ["concilium-center", "trainer", "--help"]
try:
    runpy.run_module("deploy.center", run_name="__main__")
except SystemExit as end:
    from client.service.lean_imports import OPTIONAL, without
    with without():
        import client.service.trainer, client.service.trainer_service
    sys.exit(end.code or ", ".join({"flwr", "httpx", "grpc", *OPTIONAL} & set(sys.modules)) or 0)
"""


def test_the_words_that_start_the_trainer_are_understood(tmp_path: Path) -> None:
    command = trainer_program(CenterHome(tmp_path), ()).command
    done = subprocess.run([*command, "--help"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Start the warm trainer" in done.stdout


def test_a_trainer_has_neither_flower_nor_a_client_of_the_network_nor_what_it_does_not_need(repository: Path) -> None:
    done = subprocess.run([sys.executable, "-c", PRINTED], cwd=repository, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
