"""The SuperLink of a coordinator's directory, started as `concilium serve` starts it."""

from deploy.coordinator.serve import environment_of, prepare, superlink
from protocol.errors import LaunchError
from server.study.directory import StudyDirectory
from server.superlink.control import connect_to
from tests.support.loopback import Loopback, wait_until


def start_superlink(loopback: Loopback, directory: StudyDirectory) -> None:
    """Start it and wait until it answers at its control door; nothing runs what is started there."""
    serving = prepare(directory.root)
    loopback.start("superlink", superlink(serving), **environment_of(serving))
    try:
        wait_until(lambda: is_asked(directory), "SuperLink", within_s=90)
    except TimeoutError as error:
        raise TimeoutError(f"{error}\n{loopback.logs()}") from error


def is_asked(directory: StudyDirectory) -> bool:
    """Whether the SuperLink answers."""
    try:
        with connect_to(directory) as control:
            control.check_version()
    except LaunchError:
        return False
    return True
