"""What leaves a trainer without a mechanism is in the center's ledger for life before it leaves (`privacy.jsonl`)."""

import logging
from pathlib import Path

from client.outgoing.sealed_reply import SealedReply
from client.privacy.privacy_ledger import Bare, PrivacyLedger
from client.privacy.reply_releases import Released, releases_in
from client.service.cases import Cases
from protocol.messages.instruction import Instruction
from protocol.messages.reply import Reply
from protocol.messages.settings import StudySettings

logger = logging.getLogger(__name__)


class ReleaseRecord:
    """The releases of one center's trainer.

    Args:
        center: whose they are.
        home: where its ledger lies.
        cases: that they stand on.
        attacks: whether a candidate is attacked before it is compared.
    """

    def __init__(self, center: str, home: Path, cases: Cases, *, attacks: bool) -> None:
        self._center, self._cases, self._attacks = center, cases, attacks
        self._ledger = PrivacyLedger(home)

    def check(self, settings: StudySettings) -> None:
        """Refuse a ledger to which nothing could be added, and say of earlier promises what they are worth from now on.

        Raises:
            RecordsError: it is not as it was written.
        """
        promised = {entry.release.study for entry in self._ledger.entries() if entry.promise is not None}
        if promised and settings.privacy is None:
            logger.warning(
                "study '%s' has no [privacy], and patients of center '%s' were promised an epsilon by %s: what trains "
                "now leaves without a guarantee, which that epsilon does not cover. To refuse such studies give "
                "--privacy FILE; `concilium-center ledger --privacy` shows what left",
                *(settings.study, self._center, sorted(promised)),
            )

    def write_down(self, reply: Reply, leaving: SealedReply, instruction: Instruction) -> None:
        """Write down what leaves in a reply; the same bits stand once, however often they leave.

        Args:
            reply: what may leave of the work, before a sum masks it.
            leaving: what leaves.
            instruction: that is answered.

        Raises:
            CaseError: nobody can say any more whose cases it is of; nothing may leave then.
            RecordsError: the ledger is not as it was written; likewise.
            StorageError: the disk refuses; likewise.
        """
        content = leaving.content_sha256
        found = releases_in(reply, leaving.reply, instruction, content=content, attacked=self._attacks)
        fresh = [release for release in found if not self._ledger.stands(release.release, release.content)]
        if fresh:
            self._ledger.record_bare([self._bare(release, instruction.settings) for release in fresh])

    def _bare(self, found: Released, settings: StudySettings) -> Bare:
        """With the cases of its parts and their patients: those that could be in it."""
        patients, split = self._cases.manifest(settings).patients, self._cases.split(settings)
        cases = {name for name, part in split.items() if part in found.parts}
        return Bare(found.release, found.content, frozenset(cases | {patients[name] for name in cases & set(patients)}))
