"""Starts the page: for one browser of this machine by a one-time token, or for a team over TLS by a password."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from protocol.enrolment.endpoint import host_and_port
from protocol.errors import LaunchError
from reporting.serving.alone import serve_alone
from reporting.serving.guard import THIS_MACHINE
from reporting.serving.live_page import LivePage
from reporting.serving.server import Certificate, bind, serve
from server.dashboard.application import make_dashboard
from server.dashboard.login_session import serve_by_login
from server.dashboard.page_content import Around, PageContent
from server.dashboard.password_file import read_password
from server.dashboard.study_reader import StudyReader
from server.study.coordinator_settings import CoordinatorSettings, read_coordinator
from server.study.directory import StudyDirectory
from server.superlink.control import connect_to
from server.tls.authority import names_in, read_certificate, utc_now

TRACKING_VARIABLE = "MLFLOW_TRACKING_URI"
LOGIN_FILE = "dashboard.login"
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Door:
    """Where a team comes in: address and port, the file with the password's hash, certificate and key."""

    listen: str
    login: Path
    certificate: Certificate


def login_file(directory: StudyDirectory) -> Path:
    """Where the password's hash lies unless somebody names another place: with others that no run may read."""
    return directory.passwords / LOGIN_FILE


def run_by_token(directory: StudyDirectory, port: int, tell: Tell, *, with_browser: bool) -> None:
    """Serve on loopback until an interrupt; `tell` is told the address, which opens one session in one browser.

    Raises:
        StudyError: the directory is no coordinator's, or of a version that this one cannot read.
        PortError: the port cannot be had.
    """
    serve_alone(_dashboard(directory, leave=False), port, tell, with_browser=with_browser)


def run_by_login(directory: StudyDirectory, door: Door, tell: Tell) -> None:
    """Serve over TLS until an interrupt.

    Raises:
        StudyError: the directory is no coordinator's, or of a version that this one cannot read.
        LaunchError: there is no password, the port is the centers', or the address cannot be read.
        EnrolmentError: the certificate cannot be read.
        PortError: the port cannot be had.
    """
    coordinator = read_coordinator(directory.coordinator)
    address, port = _address_of(door.listen, coordinator)
    password, named = read_password(door.login), names_in(read_certificate(door.certificate.certificate))
    dashboard = _dashboard(directory, leave=True)
    hosts = tuple(dict.fromkeys((*named, *THIS_MACHINE)))
    pages = serve_by_login(dashboard.answers, password, dashboard.title, hosts)
    with bind(port, address) as bound:
        tell(f"dashboard of {directory.root}: https://{hosts[0]}:{bound.getsockname()[1]}/ for those with the password")
        serve(pages, bound, certificate=door.certificate, on_end=dashboard.live.end)


def _address_of(listen: str, coordinator: CoordinatorSettings) -> tuple[str, int]:
    try:
        address, port = host_and_port(listen)
    except ValueError as error:
        raise LaunchError(
            f"--listen {listen} is no ADDRESS:PORT ({error}); give one, such as 127.0.0.1:8443"
        ) from error
    if port == coordinator.port:
        raise LaunchError(
            f"port {port} is the centers': the page never shares it. Give one that the internet does not reach"
        )
    return address, port


def _dashboard(directory: StudyDirectory, *, leave: bool) -> LivePage:
    coordinator = read_coordinator(directory.coordinator)
    uri = os.environ.get(TRACKING_VARIABLE, "")
    around = Around(mlflow=uri if uri.startswith(("http://", "https://")) else "", endpoint=coordinator.endpoint)
    content = PageContent(StudyReader(directory), lambda: connect_to(directory), around, utc_now)
    return make_dashboard(content, directory.report, around.mlflow, leave=leave)
