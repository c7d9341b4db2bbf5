"""From a scan to its prediction: prepared as in training, predicted, brought back to the scan's grid, measured."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import cast

from torch import nn

from client.data.checks import Issue
from client.data.preprocessing import SEGMENTATION, PreparedCase, prepare_volumes
from client.data.targets import add_labels
from client.predict.answers import describe_answer
from client.predict.contract import Prediction, Scan
from client.predict.doubts import mask_doubts, scan_doubts, setting_doubts
from client.predict.figures import measure
from client.predict.native_grid import cut, move_to_scan
from client.predict.networks import NetworkFor
from client.predict.uncertainty import NO_CALIBRATION, NO_ROW, find_row, judge, temper, uncertainty_doubts
from client.scores.calibration_rows import CalibrationRow
from client.tasks.building import build_tasks
from client.tasks.contract import CenterTask, runnable_settings
from client.tasks.sliding_windows import PredictedVolume, predict_logits
from fusion_models.contract import Segmenter
from fusion_models.model_row import ModelRow
from protocol.errors import CaseError
from protocol.messages.settings import StudySettings
from protocol.modalities import ModalitySetting, parts_of


class Predictor:
    """Predicts scans, one after another, for all tasks of a study.

    Args:
        settings: of the study whose bank it is.
        row: of its model.
        network_for: gives the network for a prepared scan.
        wanted: the setting to predict under; the fullest one that scan and model allow where None.
        calibration: what a center found of networks that it was served; None where none was given.
    """

    def __init__(
        self,
        settings: StudySettings,
        row: ModelRow,
        network_for: NetworkFor,
        wanted: ModalitySetting | None = None,
        calibration: Sequence[CalibrationRow] | None = None,
    ) -> None:
        self._settings, self._row, self._network_for, self._wanted = settings, row, network_for, wanted
        self._calibration = calibration
        self._tasks = build_tasks(settings)
        self._crop = settings.preprocessing.crop_zyx

    def predict(self, scan: Scan) -> Prediction:
        """The prediction of one scan: a mask with its figures where the study has masks, answers of the other tasks.

        Raises:
            CaseError: the scan lacks what the model or the wanted setting needs.
        """
        case = _prepare(scan, self._settings)
        asked = self._settings_for(case)
        network = self._network_for(case)
        setting = max(asked.values(), key=lambda name: len(parts_of(name)))
        issues = (*scan.issues, *network.issues, *self._doubts(case, scan, setting, network.facts.get("support", {})))
        found = Prediction(scan, setting, network.algorithm, network.facts, issues=issues)
        for task, shown in asked.items():
            if task.name == SEGMENTATION:
                how = self._settings.prediction
                volume = predict_logits(_segmenter(network.model), case, shown, self._crop, how)
                found = self._add_uncertainty(self._add_mask(found, volume), volume, shown)
            else:
                told = describe_answer(task.name, task.predict(network.model, case, shown), self._settings)
                found = replace(found, answers={**found.answers, task.name: {"modalities": shown, **told}})
        return found

    def _settings_for(self, case: PreparedCase) -> dict[CenterTask, ModalitySetting]:
        """For each task that can be answered the fullest setting."""
        able = set(self._row.settings) if self._wanted is None else set(self._row.settings) & {self._wanted}
        possible = {task: runnable_settings(task, case, able) for task in self._tasks}
        if found := {task: names[-1] for task, names in possible.items() if names}:
            return found
        raise CaseError(
            f"case '{case.name}' has {' and '.join(case.modalities) or 'no image'}; model "
            f"'{self._settings.model.name}' runs {sorted(self._row.settings)}"
            + (f", asked was '{self._wanted}'" if self._wanted else "")
            + "; give the missing images, or name another setting"
        )

    def _doubts(
        self, case: PreparedCase, scan: Scan, setting: ModalitySetting, support: Mapping[str, int]
    ) -> Iterator[Issue]:
        yield from scan_doubts(scan, self._settings.preprocessing)
        yield from setting_doubts(scan.case, case.modalities, setting, self._row.settings, support)

    def _add_mask(self, found: Prediction, volume: PredictedVolume) -> Prediction:
        scan = found.scan
        probability = move_to_scan(volume.probability, scan.base, self._settings.preprocessing)
        mask = cut(probability, scan.base)
        figures = measure(mask, scan.pet)
        issues = (*found.issues, *mask_doubts(scan.case, figures))
        return replace(found, probability=probability, mask=mask, figures=figures, issues=issues)

    def _add_uncertainty(self, found: Prediction, volume: PredictedVolume, shown: ModalitySetting) -> Prediction:
        """How sure the mask is; the mask stays, its probabilities are at the center's temperature."""
        row = find_row(self._calibration or (), found.adapter, shown)
        reason = NO_CALIBRATION if self._calibration is None else NO_ROW
        told = judge(volume, self._settings.preprocessing.spacing_zyx_mm, row, reason)
        probability = None if found.probability is None else temper(found.probability, told.temperature)
        issues = (*found.issues, *uncertainty_doubts(found.scan.case, told))
        return replace(found, probability=probability, uncertainty=told, issues=issues)


def _prepare(scan: Scan, settings: StudySettings) -> PreparedCase:
    images = scan.images
    prepared = prepare_volumes(scan.case, images, settings.preprocessing) if images else PreparedCase(scan.case)
    return add_labels(prepared, scan.labels)


def _segmenter(model: nn.Module) -> Segmenter:
    """A network whose row in the table of models names the task is one."""
    return cast("Segmenter", model)
