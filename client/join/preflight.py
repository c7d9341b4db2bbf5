"""The checks before a center joins, as one table: name, exit code, what judges it.

All checks run, in this order, as far as they can; the command's exit code is that of the first that failed. A site's
own checks are in `client.join.site_checks`, those on the way to the coordinator in `client.join.network_checks`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from client.join import data_check, network_checks, privacy_check, site_checks
from client.join.findings import Finding
from client.join.situation import Situation

READY = 0
WIDTH = 14


@dataclass(frozen=True)
class Check:
    """One row of the table; an exit code of 0 belongs to a check that only warns."""

    name: str
    exit_code: int
    judge: Callable[[Situation], Finding]


CHECKS: tuple[Check, ...] = (
    Check("kit", 10, site_checks.check_kit),
    Check("home", 21, site_checks.check_home),
    Check("clock", 11, network_checks.check_clock),
    Check("name", 12, network_checks.check_name),
    Check("port", 13, network_checks.check_port),
    Check("proxy", 14, network_checks.check_proxy),
    Check("tls", 15, network_checks.check_tls),
    Check("authentication", 16, network_checks.check_authentication),
    Check("versions", 17, site_checks.check_versions),
    Check("privacy", 23, privacy_check.check_privacy),
    Check("data", 18, data_check.check_data),
    Check("gpu", 19, site_checks.check_gpu),
    Check("disk", 20, site_checks.check_disk),
    Check("socket", 22, site_checks.check_socket),
    Check("isolation", 0, site_checks.check_isolation),
)
PREPARING_CHECKS: tuple[Check, ...] = tuple(
    replace(check, judge=network_checks.check_authentication_to_come) if check.name == "authentication" else check
    for check in CHECKS
)
"""Before the coordinator has the answer: a key that it does not know yet is no failure."""
OF_THE_DATA_SIDE = frozenset({"privacy", "data", "gpu", "disk", "isolation"})
NODE_CHECKS: tuple[Check, ...] = tuple(check for check in CHECKS if check.name not in OF_THE_DATA_SIDE)
"""Those of the network side alone, which sees no data and no GPU."""


@dataclass(frozen=True)
class Result:
    """What one check found."""

    name: str
    exit_code: int
    finding: Finding

    @property
    def line(self) -> str:
        """The result as it is printed."""
        finding = self.finding
        remedy = f" -> {finding.remedy}" if finding.remedy else ""
        return f"{finding.status:<8} {self.name:<{WIDTH}} {finding.text}{remedy}"


def examine(situation: Situation, checks: Sequence[Check] = CHECKS) -> Iterator[Result]:
    """Run the checks one after another, each told as soon as it is known."""
    for check in checks:
        yield Result(check.name, check.exit_code, check.judge(situation))


def exit_code(results: Sequence[Result]) -> int:
    """That of the first failure, 0 where nothing failed."""
    return next((result.exit_code for result in results if result.finding.status == "failed"), READY)


def table(results: Sequence[Result]) -> dict[str, Any]:
    """The results for machines."""
    rows = [{"check": result.name, "exit_code": result.exit_code} | asdict(result.finding) for result in results]
    return {"exit_code": exit_code(results), "checks": rows}
