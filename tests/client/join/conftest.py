"""What the tests of joining share: no proxy of this machine, a certificate, a coordinator without a fault."""

from tests.support.join_fixtures import certified, coordinator, no_proxy_of_this_machine

__all__ = ["certified", "coordinator", "no_proxy_of_this_machine"]
