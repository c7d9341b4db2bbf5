"""The container files in deploy/images: linted, and compared with the lock file and with what the code imports."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from deploy.supervision.telemetry import SWITCHED_OFF

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
IMAGES = sorted((DEPLOY / "images").glob("*.Containerfile"))
SCRIPTS = sorted(path for path in DEPLOY.rglob("*.sh"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
VERSION = PROJECT["version"]


def tool(name: str, *arguments: str | Path) -> None:
    """Run a checker of the development environment; its findings are the failure."""
    found = subprocess.run(
        [Path(sys.executable).with_name(name), *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr


def test_container_files_pass_hadolint():
    tool("hadolint", "--config", "deploy/images/hadolint.yaml", *IMAGES)


def test_scripts_pass_shellcheck():
    tool("shellcheck", "--external-sources", *SCRIPTS)


@pytest.mark.parametrize("path", IMAGES, ids=lambda path: path.name)
def test_an_image_ends_as_a_user_without_rights(path):
    users = re.findall(r"^USER (.*)$", path.read_text(), re.MULTILINE)
    assert users[-1] == "10001:10001"


@pytest.mark.parametrize("path", IMAGES, ids=lambda path: path.name)
def test_an_image_says_what_it_is_and_how_it_is(path):
    text = path.read_text()
    assert "org.opencontainers.image.version" in text
    assert "\nHEALTHCHECK " in text


@pytest.mark.parametrize(
    "path",
    [*IMAGES, *(DEPLOY / "compose").glob("*.yaml"), *(DEPLOY / "kubernetes").glob("*.yaml")],
    ids=lambda path: path.name,
)
def test_nothing_is_taken_at_whatever_version_is_the_latest(path):
    assert not re.findall(r"^(?!\s*#).*:latest\b", path.read_text(), re.MULTILINE)


def names_in(path: Path) -> set[str]:
    lines = path.read_text().splitlines()
    return {Requirement(line).name for line in lines if line and not line.startswith("#")}


LOCKED = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split())


@pytest.mark.parametrize("image", ["client", "server", "mlflow"])
def test_what_an_image_installs_has_a_locked_version(image):
    assert names_in(DEPLOY / "images" / f"{image}.in") <= LOCKED.keys()


@pytest.mark.parametrize("image", ["client", "server", "mlflow"])
def test_an_image_leaves_every_version_to_the_lock_file(image):
    lines = (DEPLOY / "images" / f"{image}.in").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#") and re.search(r"[=<>~]", line)] == []


def test_both_images_together_have_what_the_package_asks_for():
    wanted = {Requirement(line).name for line in PROJECT["dependencies"]}
    images = names_in(DEPLOY / "images/client.in") | names_in(DEPLOY / "images/server.in")
    # mlflow is the coordinator's client alone: the skinny package and what its local store needs.
    assert wanted - images == {"mlflow"}
    assert images - wanted == {"mlflow-skinny", "alembic", "sqlalchemy"}


OURS = {"fusion_models", "protocol", "strategies", "reporting", "server", "client", "deploy"}


def imported_by(paths: list[Path]) -> set[str]:
    """The top-level packages imported anywhere in `paths`."""
    pattern = re.compile(r"^\s*(?:from|import) ([A-Za-z_]\w*)", re.MULTILINE)
    return {name for path in paths for name in pattern.findall(path.read_text())}


def modules_without(paths: list[Path], image: str) -> set[str]:
    """The modules imported in `paths` that neither an image's list nor what its packages bring along has."""
    there = names_in(DEPLOY / "images" / image) | BROUGHT_ALONG
    known = packages_distributions()
    return {
        module
        for module in imported_by(paths) - OURS - set(sys.stdlib_module_names)
        if module in known and not {re.sub(r"[-_.]+", "-", name).lower() for name in known[module]} & there
    }


def modules_in(*folders: str) -> list[Path]:
    return [path for folder in folders for path in (ROOT / folder).rglob("*.py")]


OF_COMPARISONS = ("strategies/evaluation/paired_tests.py", "strategies/continual/own_adapter.py")
"""Called by `concilium benchmark` and `simulate` alone, which need data and torch."""
OF_CENTERS = ("strategies/evaluation/membership.py",)
"""Called by `concilium-center audit` alone."""
SERVER_MODULES = [
    *modules_in(
        "server", "strategies", "reporting", "protocol", "deploy/proxy", "deploy/coordinator", "deploy/supervision"
    ),
    *(DEPLOY / name for name in ("images/probe.py", "study/study_init.py")),
]
for place in (*OF_COMPARISONS, *OF_CENTERS):
    SERVER_MODULES.remove(ROOT / place)
CLIENT_MODULES = [
    *modules_in(
        "client", "strategies", "fusion_models", "reporting", "protocol", "deploy/center", "deploy/supervision"
    ),
    DEPLOY / "images/probe.py",
]
BROUGHT_ALONG = {
    "grpcio",
    "grpcio-health-checking",
    "requests",
    "protobuf",
    "fastapi",
    "starlette",
    "click",
    "pydantic-core",
    "markupsafe",
}


def test_the_server_image_has_what_the_coordinator_imports():
    assert modules_without(SERVER_MODULES, "server.in") == set()


def test_the_client_image_has_what_a_center_imports():
    assert modules_without(CLIENT_MODULES, "client.in") <= {"mamba_ssm"}


@pytest.mark.parametrize(("image", "modules"), [("client", CLIENT_MODULES), ("server", SERVER_MODULES)])
def test_an_image_takes_every_package_of_ours_that_its_programs_import(image: str, modules: list[Path]) -> None:
    text = (DEPLOY / "images" / f"{image}.Containerfile").read_text()
    # The synthetic cohort is the one thing of a center that the coordinator's command can make, and not in the image.
    needed = imported_by(modules) & OURS - ({"client"} if image == "server" else set())
    assert needed <= set(re.findall(r"^COPY (\w+) \1$", text, re.MULTILINE))


def test_every_package_of_ours_is_compiled_in_an_image() -> None:
    listed = re.search(r"site-packages/\{(.*)\}", (DEPLOY / "images/install.sh").read_text())
    assert listed is not None
    assert set(listed[1].split(",")) == OURS


def test_the_server_image_has_no_torch():
    assert not {"torch", "monai", "peft", "simpleitk"} & names_in(DEPLOY / "images/server.in")


@pytest.mark.parametrize("name", ["client.Containerfile", "server.Containerfile"])
def test_programs_of_an_image_call_nobody(name):
    text = (DEPLOY / "images" / name).read_text()
    assert [key for key, value in SWITCHED_OFF.items() if f"{key}={value}" not in text] == []


@pytest.mark.parametrize("name", ["images/mlflow.Containerfile", "mlflow/start.sh"])
def test_the_mlflow_server_calls_nobody(name: str) -> None:
    of_mlflow = {key: value for key, value in SWITCHED_OFF.items() if key.startswith("MLFLOW_")}
    found = set(re.findall(r"\b(MLFLOW_\w+)=(\S+)", (DEPLOY / name).read_text()))
    assert of_mlflow
    assert found >= of_mlflow.items()


def test_the_version_in_every_example_is_this_one():
    paths = [*(DEPLOY / "compose").glob("*.example"), DEPLOY / "README.md", DEPLOY / "kubernetes/kustomization.yaml"]
    found = {match for path in paths for match in re.findall(r"concilium-\w+[:-](\d+\.\d+\.\d+)", path.read_text())}
    tags = re.findall(
        r"newName: localhost/.*\n\s+newTag: (\S+)", (DEPLOY / "kubernetes/kustomization.yaml").read_text()
    )
    assert found | set(tags) == {VERSION}
