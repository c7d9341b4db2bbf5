"""The files in deploy/ that no interpreter of ours reads: linted, and compared with the code that they start."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from deploy.coordinator.serve import Serving, superexec, superlink
from deploy.supervision.telemetry import SWITCHED_OFF
from server.study.coordinator_settings import CoordinatorSettings
from server.study.directory import StudyDirectory

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = sorted((DEPLOY / "compose").glob("*.yaml"))
KUBERNETES = sorted(path for path in (DEPLOY / "kubernetes").glob("*.yaml") if path.name != "kustomization.yaml")
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))

CHECKS_BY_HAND = """
rules:
  braces: {max-spaces-inside: 0}
  document-start: disable
  line-length: {max: 200}
  truthy: {check-keys: false}
extends: default
"""


def tool(name: str, *arguments: str | Path) -> None:
    """Run a checker of the development environment; its findings are the failure."""
    found = subprocess.run(
        [Path(sys.executable).with_name(name), *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr


def services(name: str) -> dict[str, dict[str, Any]]:
    return yaml.safe_load((DEPLOY / "compose" / name).read_text())["services"]


HARDENED = [
    pytest.param(service, id=f"{name}-{service_name}")
    for name in ("coordinator.yaml", "center.yaml")
    for service_name, service in services(name).items()
]


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in KUBERNETES:
        for resource in yaml.safe_load_all(path.read_text()):
            if resource["kind"] in {"Deployment", "StatefulSet"}:
                yield resource["metadata"]["name"], resource["spec"]["template"]["spec"]


def containers() -> list[Any]:
    return [
        pytest.param(container, id=f"{pod}-{container['name']}")
        for pod, spec in pods()
        for container in spec["containers"]
    ]


# Linters


def test_compose_files_follow_the_compose_specification():
    tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", *COMPOSE)


def test_manifests_are_resources_of_kubernetes():
    tool("kubernetes-validate", "--strict", "--quiet", *KUBERNETES)


def test_yaml_files_pass_yamllint():
    tool("yamllint", "--strict", "--config-data", CHECKS_BY_HAND, DEPLOY / "compose", DEPLOY / "kubernetes")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not on this machine")
def test_units_are_what_systemd_reads(tmp_path):
    for path in (*UNITS, *(DEPLOY / "systemd").glob("*.target")):
        text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", path.read_text(), flags=re.MULTILINE)
        (tmp_path / path.name).write_text(text)
    found = subprocess.run(
        ["systemd-analyze", "--man=no", "verify", *sorted(tmp_path.iterdir())],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (found.returncode, found.stderr) == (0, "")


# Compose


@pytest.mark.parametrize("service", HARDENED)
def test_a_service_has_only_the_rights_it_needs(service):
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service["user"].startswith(("0", "root"))


@pytest.mark.parametrize("service", HARDENED)
def test_a_service_is_bounded_and_its_log_rotated(service):
    assert {"cpus", "memory", "pids"} <= service["deploy"]["resources"]["limits"].keys()
    assert {"max-size", "max-file"} <= service["logging"]["options"].keys()
    assert "healthcheck" in service


@pytest.mark.parametrize("service", HARDENED)
def test_a_service_calls_nobody(service):
    assert service["environment"].items() >= SWITCHED_OFF.items()


@pytest.mark.parametrize("container", containers())
def test_a_container_of_a_pod_calls_nobody(container: dict[str, Any]) -> None:
    """Proxy and PostgreSQL import none of the libraries that would."""
    wanted = {
        "concilium-server": SWITCHED_OFF,
        "concilium-mlflow": {key: value for key, value in SWITCHED_OFF.items() if key.startswith("MLFLOW_")},
        "concilium-proxy": {},
        "postgres": {},
    }[container["image"]]
    given = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert given.items() >= wanted.items()


def test_only_the_door_of_the_coordinator_is_open_to_other_machines():
    published = {name: service["ports"] for name, service in services("coordinator.yaml").items() if "ports" in service}
    assert published == {
        "dashboard": ["${DASHBOARD_LISTEN:-127.0.0.1:8443}:8443"],
        "proxy": ["${LISTEN:-0.0.0.0:443}:4443"],
        "mlflow": ["${MLFLOW_LISTEN:-127.0.0.1:5000}:5000"],
    }


def test_the_page_is_on_loopback_and_reads_only():
    """Nobody else in the consortium's network reaches it, and what it shows it cannot change."""
    service = services("coordinator.yaml")["dashboard"]
    assert "${STUDY}:/study:ro" in service["volumes"]
    assert set(service["networks"]) == {"page"}
    unit = (DEPLOY / "systemd/concilium-dashboard.service").read_text()
    assert "--listen 127.0.0.1:8443\n" in unit
    assert "\nReadOnlyPaths=/var/lib/concilium\n" in unit
    pod = next(c for c in dict(pods())["coordinator"]["containers"] if c["name"] == "dashboard")
    assert "--listen=127.0.0.1:8443" in pod["args"]
    assert "ports" not in pod
    assert all(m.get("readOnly") for m in pod["volumeMounts"] if m["name"] == "study")


def test_postgres_is_reached_by_mlflow_alone():
    networks = {name: set(service.get("networks", ())) for name, service in services("coordinator.yaml").items()}
    assert {name for name, found in networks.items() if "database" in found} == {"mlflow", "postgres"}
    assert networks["postgres"] == {"database"}


def test_only_the_watchdog_can_be_given_a_way_out_and_has_none_until_somebody_does():
    """For notices; an .env of before says nothing of it."""
    text = (DEPLOY / "compose/coordinator.yaml").read_text()
    assert services("coordinator.yaml")["watchdog"]["network_mode"] == "${WATCHDOG_NETWORK:-none}"
    assert text.count("WATCHDOG_NETWORK") == 1
    assert "\nWATCHDOG_NETWORK=none\n" in (DEPLOY / "compose/coordinator.env.example").read_text()


def test_the_superlink_has_no_network():
    assert services("coordinator.yaml")["superlink"]["network_mode"] == "none"
    unit = (DEPLOY / "systemd/concilium-superlink.service").read_text()
    assert "\nPrivateNetwork=yes\nRestrictAddressFamilies=AF_UNIX\n" in unit


@pytest.mark.parametrize(
    ("program", "own"),
    [("proxy", "fleet"), ("superexec", "runtime"), ("watchdog", "control"), ("dashboard", "control")],
    ids=str,
)
def test_a_program_of_the_coordinator_sees_its_own_door_to_the_superlink_and_no_other(program, own):
    """In containers by what is mounted, in a pod likewise, with systemd by what is hidden."""
    others = {"fleet", "runtime", "control"} - {own}
    unit = (DEPLOY / f"systemd/concilium-{program}.service").read_text().replace("InaccessiblePaths=", " ").split()
    assert {f"-/var/lib/concilium/study/run/{door}" for door in others} <= set(unit)
    assert f"-/var/lib/concilium/study/run/{own}" not in unit
    container = next(c for c in dict(pods())["coordinator"]["containers"] if c["name"] == program)
    assert [mount["subPath"] for mount in container["volumeMounts"] if mount["name"] == "doors"] == [own]
    volumes = services("coordinator.yaml")[program]["volumes"]
    seen = {door for door in others if any(volume == f"${{STUDY}}/run/{door}" for volume in volumes)}
    whole = any(volume.endswith(":/study") for volume in volumes)
    assert (
        seen | ({door for door in others if f"nothing:/study/run/{door}:ro" not in volumes} if whole else set())
        == set()
    )


@pytest.mark.parametrize("program", ["superlink", "superexec", "watchdog", "proxy", "dashboard"])
def test_no_unit_of_the_coordinator_sees_the_authority(program):
    unit = (DEPLOY / f"systemd/concilium-{program}.service").read_text()
    assert "-/var/lib/concilium/study.authority" in unit
    assert "-/var/lib/concilium/study/authority/ca.key" in unit


def test_the_process_that_runs_a_study_cannot_read_the_authority_s_key():
    assert "/dev/null:/study/authority/ca.key:ro" in services("coordinator.yaml")["superexec"]["volumes"]
    assert all("authority/ca.key" not in str(s.get("volumes")) or "/dev/null" in str(s["volumes"])
               for s in services("coordinator.yaml").values())  # fmt: skip


def test_the_process_that_runs_a_study_sees_no_folder_of_secrets():
    folders = [folder.name for folder in StudyDirectory(Path("/study")).hidden_from_runs]
    volumes = services("coordinator.yaml")["superexec"]["volumes"]
    unit = (DEPLOY / "systemd/concilium-superexec.service").read_text().split()
    unit += [path.removeprefix("InaccessiblePaths=") for path in unit]
    pod = next(c for c in dict(pods())["coordinator"]["containers"] if c["name"] == "superexec")
    tar = next(line for line in (DEPLOY / "README.md").read_text().splitlines() if "tar -C ROOT" in line)
    for folder in folders:
        assert f"nothing:/study/{folder}:ro" in volumes
        assert f"-/var/lib/concilium/study/{folder}" in unit
        assert f"/study/{folder}" not in [mount["mountPath"] for mount in pod["volumeMounts"]]
        apart = [m["mountPath"] for c in dict(pods())["coordinator"]["containers"] for m in c["volumeMounts"]]
        assert f"--exclude=./{folder} " in tar or f"/study/{folder}" in apart


def test_what_has_the_data_has_no_network():
    holders = {
        name: service
        for name, service in services("center.yaml").items()
        if any("DATA" in volume for volume in service["volumes"])
    }
    assert {name: service["network_mode"] for name, service in holders.items()} == {"trainer": "none", "check": "none"}
    assert all(volume.endswith(":ro") for s in holders.values() for volume in s["volumes"] if "DATA" in volume)


def test_the_two_sides_of_a_center_share_one_folder_and_no_more():
    trainer, node = (set(services("center.yaml")[name]["volumes"]) for name in ("trainer", "node"))
    assert {volume.partition(":/")[2] for volume in trainer & node} <= {"center/run"}


def options(command: tuple[str, ...] | list[str]) -> set[str]:
    return {word.partition("=")[0] for word in command if word.startswith("--")}


SERVING = Serving(
    StudyDirectory(Path("/study")),
    CoordinatorSettings(consortium="c", endpoint="c.example.org:443", image="i"),
    "*",
    443,
)


@pytest.mark.parametrize(("name", "command"), [("superlink", superlink(SERVING)), ("superexec", superexec(SERVING))])
def test_containers_start_flower_as_the_coordinator_on_a_bare_machine_does(name, command):
    pod = dict(pods())["coordinator"]
    in_pod = next(container["args"] for container in pod["containers"] if container["name"] == name)
    assert options(services("coordinator.yaml")[name]["command"]) == options(command) == options(in_pod)


FOREIGN = re.compile(r"HOME|HTTPS_PROXY|NO_PROXY|PG\w+|POSTGRES_\w+|NVIDIA_\w+|FLWR_HOME|MLFLOW_SERVER_ALLOWED_HOSTS")


def test_every_variable_of_a_service_is_read_by_something():
    sources = [path for path in DEPLOY.rglob("*") if path.suffix in {".py", ".sh", ".ini"} and path.is_file()]
    sources += [path for name in ("client", "server", "strategies") for path in (ROOT / name).rglob("*.py")]
    text = "\n".join(path.read_text() for path in sources)
    named = {key for path in COMPOSE for service in services(path.name).values() for key in service["environment"]}
    assert {key for key in named if key not in text and not FOREIGN.fullmatch(key)} == set()


@pytest.mark.parametrize("name", ["coordinator", "center"])
def test_the_example_of_settings_names_each_that_the_compose_file_reads(name):
    files = [path for path in COMPOSE if path.name.startswith(name)]
    read = {found for path in files for found in re.findall(r"\$\{(\w+)", path.read_text())}
    given = set(re.findall(r"^(?:# )?(\w+)=", (DEPLOY / f"compose/{name}.env.example").read_text(), re.MULTILINE))
    assert read == given


# Units


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_unit_calls_nobody_and_comes_back(path):
    text = path.read_text()
    assert [key for key, value in SWITCHED_OFF.items() if f"{key}={value}" not in text] == []
    assert "\nRestart=always\n" in text


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_unit_is_in_a_sandbox(path):
    lines = set(path.read_text().splitlines())
    assert lines >= {"NoNewPrivileges=yes", "ProtectSystem=strict", "PrivateTmp=yes", "ProtectHome=yes", "UMask=0077"}
    assert any(line.startswith("User=") and line != "User=root" for line in lines)


def test_the_trainer_s_unit_has_no_network_and_the_node_s_no_trainer():
    trainer = (DEPLOY / "systemd/concilium-trainer.service").read_text()
    node = (DEPLOY / "systemd/concilium-node.service").read_text()
    assert "\nPrivateNetwork=yes\n" in trainer
    assert "\nRestrictAddressFamilies=AF_UNIX\n" in trainer
    assert "/trainer" not in node.partition("BindPaths=")[2].partition("\n")[0]


def test_the_node_s_unit_sees_no_data_unless_somebody_opens_it() -> None:
    """Its own half of the home and the socket; where the data is it is told only to look whether it sees it."""
    lines = (DEPLOY / "systemd/concilium-node.service").read_text().splitlines()
    hidden = next(line for line in lines if line.startswith("TemporaryFileSystem="))
    assert {"/srv:ro", "/mnt:ro", "/media:ro", "/var/lib/concilium-center:ro"} <= set(hidden.partition("=")[2].split())
    assert "BindPaths=/var/lib/concilium-center/node /var/lib/concilium-center/run" in lines
    assert "ProtectHome=yes" in lines
    assert "EnvironmentFile=/etc/concilium/center.env" in lines
    start = next(line for line in lines if line.startswith("ExecStart="))
    assert start.endswith(" --unseen ${DATA}")
    assert any(line.startswith("DATA=") for line in (DEPLOY / "systemd/center.env.example").read_text().splitlines())


def test_the_node_s_container_has_its_own_half_of_the_home_alone() -> None:
    volumes = services("center.yaml")["node"]["volumes"]
    assert [volume.rpartition(":")[2] for volume in volumes] == ["/center/node", "/center/run"]


# Kubernetes


@pytest.mark.parametrize("container", containers())
def test_a_container_in_the_cluster_has_only_the_rights_it_needs(container):
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"requests", "limits"} <= container["resources"].keys()


def test_no_secret_stands_in_a_manifest():
    kinds = [resource["kind"] for path in KUBERNETES for resource in yaml.safe_load_all(path.read_text())]
    assert "Secret" not in kinds
