"""What tests of a center's commands share: no proxy of this machine, a certificate, a coordinator without a fault."""

from tests.support.join_fixtures import certified, coordinator, no_proxy_of_this_machine

__all__ = ["certified", "coordinator", "no_proxy_of_this_machine"]
