"""A coordinator that somebody has taken over: its ServerApp's process lets any bundle pass, and centers get to see it.

Python reads this file at its start where PYTHONPATH names the folder, as `Consortium.serve` is told to.
"""

import sys


def pass_any(bundle: bytes) -> None:
    """Refuse nothing."""
    del bundle


if {"server.runs.flower_programs", "serverapp"} <= set(sys.orig_argv):
    import server.runs.bundle_check

    server.runs.bundle_check.refuse_foreign_bundle = pass_any
