"""Which centers' adapters serve a scan of an unknown center: the bank's router asked with the scan's own features."""

from dataclasses import asdict
from typing import Any

import numpy as np
from torch import nn

from client.data.preprocessing import PreparedCase
from client.learning.assembly import assemble
from client.learning.bank_settings import settings_behind
from client.learning.features import features_of
from fusion_models.model_row import ModelRow
from protocol.messages.tensors import role_of
from strategies.bank.bank import SHARED, AdapterBank
from strategies.bank.living import living_names
from strategies.bank.routing_file import read_routers
from strategies.bank.trained_alone import entry_beside_shared
from strategies.continual.center_adapters import merge_center_adapters
from strategies.continual.router import Route


class RoutedModels:
    """The network for each scan: the shared adapter, and beside it what the router weighs in.

    Args:
        bank: holds the router, the shared adapter and each center's own.
        row: of the bank's model.

    Raises:
        BankError: the bank has no router; the study must run with `strategy.router = true`.
    """

    def __init__(self, bank: AdapterBank, row: ModelRow, *, device: str) -> None:
        self._bank, self._row, self._device = bank, row, device
        self._routers = read_routers(bank.root)
        entry = bank.head(SHARED)
        self._shared, self._backbone = bank.tensors(entry), bank.backbone(entry.backbone)
        self._own = {
            name: bank.tensors(entry_beside_shared(bank, name)) for name in living_names(bank) if name != SHARED
        }
        self._settings = settings_behind(bank.settings, row, bank.adapter_config, self._shared)
        self._bare = assemble(self._settings, row, self._backbone, self._shared, device=device)
        self.routes: dict[str, dict[str, Any]] = {}

    def model_for(self, case: PreparedCase) -> nn.Module:
        """The network for one scan; its route is noted under the case's name."""
        found = features_of(self._bare, case, self._bank.settings.preprocessing.crop_zyx)
        router = self._routers.get("+".join(sorted(found)))  # none where no center has sent all of these features
        route = (
            Route(weights={}, distance=float("inf"), known=False, posterior={})
            if router is None
            else router.route(np.concatenate([found[name] for name in sorted(found)]).astype(np.float64))
        )
        self.routes[case.name] = {**asdict(route), "distance": None if router is None else route.distance}
        tensors = merge_center_adapters(route, self._shared, self._own)
        settings = self._settings
        ranks = [array.shape[0] for key, array in tensors.items() if role_of(key) == "center_a"]
        if ranks:
            settings = settings.model_copy(update={"center_rank": max(ranks)})
        return assemble(settings, self._row, self._backbone, tensors, device=self._device)
