"""Renewing a center's key without a new kit: both keys lie side by side until the coordinator accepted the new one."""

import logging

import httpx

from client.home.center_home import CenterHome, read_membership
from client.node.fleet_api import fleet_api
from client.node.node_key import adopt_next_key, provide_node_key, read_node_key, renewal_answer
from protocol.enrolment.answer import write_answer
from protocol.storage.atomic_files import write_private_text

logger = logging.getLogger(__name__)


def prepare_renewal(home: CenterHome) -> str:
    """Make the next key and the answer that asks for it, signed by the key in use; returns the answer's path.

    The key in use stays in use. Called again before the coordinator accepted, the same next key is asked for again.

    Raises:
        HomeError: the home is not one that has joined, or its key is damaged.
        StorageError: the disk refuses.
    """
    membership = read_membership(home)
    current, following = read_node_key(home.key), provide_node_key(home.next_key)
    path = home.answer(membership.center)
    write_answer(
        path,
        renewal_answer(
            center=membership.center, study=membership.agreement.study, current=current, following=following
        ),
    )
    return str(path)


def adopt_accepted_key(home: CenterHome) -> bool:
    """Take the next key into use if the coordinator accepts it by now; says whether it did.

    Without contact nothing changes: the key in use is tried, and the next one at the next start.
    """
    if not home.next_key.exists():
        return False
    try:
        endpoint, authority = read_membership(home).endpoint, home.authority.read_bytes()
        with fleet_api(endpoint, authority, read_node_key(home.next_key)) as api:
            standing, node_id = api.standing()
    except httpx.HTTPError:
        logger.warning("the coordinator cannot be asked about the renewed key; the key in use stays for now")
        return False
    if standing != "accepted":
        return False
    adopt_next_key(home)
    write_private_text(home.node_id, f"{node_id}\n")
    logger.info("the renewed key is accepted and in use")
    return True
