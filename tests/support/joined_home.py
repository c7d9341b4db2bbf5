"""A center's home that was prepared with a kit, and what lies in it."""

from pathlib import Path

from client.home.center_home import CenterHome
from client.join.joining import prepare
from protocol.enrolment.answer import EnrolmentAnswer, read_answer
from tests.support.coordinator_stand_in import kit

ENDPOINT = "nowhere.invalid:443"
AUTHORITY = b"an authority's certificate"


def joined_home(root: Path) -> CenterHome:
    """The home of 'center-a', prepared with a kit of a coordinator that nobody reaches."""
    home = CenterHome(root)
    prepare(home, kit(ENDPOINT), AUTHORITY)
    return home


def answer_in(home: CenterHome) -> EnrolmentAnswer:
    """The answer for the coordinator."""
    return read_answer(home.answer("center-a"))


def files_of(home: CenterHome) -> dict[str, bytes]:
    """Every file of the home, by its path below the root."""
    return {str(path.relative_to(home.root)): path.read_bytes() for path in home.root.rglob("*") if path.is_file()}
