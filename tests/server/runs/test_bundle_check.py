"""Which bundle a run may bring to the coordinator's own machine."""

import pytest
from flwr.superlink.runtime import run_serverapp as run

from protocol.errors import LaunchError, OtherFlowerError
from protocol.flower_sockets import module_of
from server.centers.bundle import bundle_bytes
from server.runs.bundle_check import check_bundles, refuse_foreign_bundle


def test_the_bundle_of_this_installation_is_unpacked_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    module, unpacked = module_of(run), []
    monkeypatch.setattr(module, "install_from_fab", lambda bundle, **_: unpacked.append(bundle))
    check_bundles()
    module.install_from_fab(bundle_bytes(), skip_prompt=True)
    with pytest.raises(LaunchError, match=r"bundle [0-9a-f]{64}, expected [0-9a-f]{64}, .*nothing of it was unpacked"):
        module.install_from_fab(bundle_bytes() + b" ", skip_prompt=True)
    assert unpacked == [bundle_bytes()]


def test_one_byte_more_is_another_bundle() -> None:
    refuse_foreign_bundle(bundle_bytes())
    with pytest.raises(LaunchError, match="concilium launch"):
        refuse_foreign_bundle(bundle_bytes() + b" ")


def test_a_flower_that_unpacks_elsewhere_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(module_of(run), "install_from_fab")
    with pytest.raises(OtherFlowerError, match="nothing runs"):
        check_bundles()
