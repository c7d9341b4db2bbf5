"""A PACS by the DICOM protocol: C-FIND finds, C-GET fetches, C-STORE stores (DICOM PS3.4 annexes B and C, PS3.7).

A C-GET brings objects back on the connection that asked, so that no port of this machine is opened. Every storage
class is offered once for each transfer syntax: a PACS that does not convert then still finds the one it stored.
"""

import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydicom.dataset import Dataset
from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association
from pynetdicom.events import Event, EventHandlerType
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation as Role
from pynetdicom.presentation import PresentationContext, build_context

from client.dicom.reading import read_header
from client.pacs.contract import (
    FoundSeries,
    FoundStudy,
    Keep,
    PacsSilentError,
    StudyFailedError,
    StudyQuery,
    safe_uids,
)
from client.pacs.dimse_faults import explain_failure, open_tls, reach
from client.pacs.settings import DimseServer
from client.pacs.store_reasons import refusal

FIND = "1.2.840.10008.5.1.4.1.2.2.1"
GET = "1.2.840.10008.5.1.4.1.2.2.3"
"""Study root query/retrieve information model: find, get."""
PLAIN = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99")
COMPRESSED = (
    "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.201",
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.91",
)
IMAGES = (
    "1.2.840.10008.5.1.4.1.1.2",
    "1.2.840.10008.5.1.4.1.1.2.1",
    "1.2.840.10008.5.1.4.1.1.2.2",
    "1.2.840.10008.5.1.4.1.1.128",
    "1.2.840.10008.5.1.4.1.1.130",
    "1.2.840.10008.5.1.4.1.1.128.1",
)
OTHERS = (
    "1.2.840.10008.5.1.4.1.1.481.3",
    "1.2.840.10008.5.1.4.1.1.66.4",
    "1.2.840.10008.5.1.4.1.1.88.22",
    "1.2.840.10008.5.1.4.1.1.88.33",
    "1.2.840.10008.5.1.4.1.1.88.34",
)
"""Storage classes: CT, enhanced and legacy converted CT, the same of PET; RTSTRUCT, SEG, and structured reports."""
KEYS = {
    "study_uid": "StudyInstanceUID",
    "accession": "AccessionNumber",
    "patient_id": "PatientID",
    "study_date": "StudyDate",
}
SUCCESS, PARTLY, STORED_WITH_WARNING = 0x0000, 0xB000, frozenset({0xB000, 0xB006, 0xB007})
PENDING = frozenset({0xFF00, 0xFF01})
OUT_OF_RESOURCES = 0xA700


class DimseClient:
    """A PACS that is asked by the DICOM protocol, over an association for each question."""

    def __init__(self, server: DimseServer) -> None:
        self._server, self._reached = server, False

    @property
    def name(self) -> str:
        """Its AE title and address."""
        return f"PACS {self._server.title}@{self._server.host}:{self._server.port}"

    def find_studies(self, query: StudyQuery) -> tuple[FoundStudy, ...]:
        """C-FIND on studies."""
        asked = {key: getattr(query, name) for name, key in KEYS.items()}
        answers = self._find("STUDY", "worklist", asked)
        found = (FoundStudy(**{name: _text(answer, key) for name, key in KEYS.items()}) for answer in answers)
        return tuple(study for study in found if study.answers(query))

    def find_series(self, study_uid: str) -> tuple[FoundSeries, ...]:
        """C-FIND on the series of a study, then on the instances of each."""
        what = f"study {study_uid}"
        keys = {"StudyInstanceUID": study_uid, "SeriesInstanceUID": "", "Modality": ""}
        answers = self._find("SERIES", what, keys)
        uids = safe_uids([_text(answer, "SeriesInstanceUID") for answer in answers], f"{self.name}: {what}")
        return tuple(
            FoundSeries(study_uid, uid, _text(answer, "Modality"), self._find_objects(study_uid, uid))
            for uid, answer in dict(zip(uids, answers, strict=True)).items()
        )

    def _find_objects(self, study_uid: str, series_uid: str) -> tuple[str, ...]:
        what = f"study {study_uid}, series {series_uid}"
        keys = {"StudyInstanceUID": study_uid, "SeriesInstanceUID": series_uid, "SOPInstanceUID": ""}
        uids = [_text(answer, "SOPInstanceUID") for answer in self._find("IMAGE", what, keys)]
        return safe_uids(tuple(dict.fromkeys(uids)), f"{self.name}: {what}")

    def _find(self, level: str, what: str, keys: dict[str, str]) -> list[Dataset]:
        answers = []
        with self._associated([build_context(FIND)]) as association:
            for status, answer in association.send_c_find(_identifier(level, keys), FIND):
                self._check(status, what, (*PENDING, SUCCESS))
                if answer is not None:
                    answers.append(answer)
        return answers

    def fetch_series(self, series: FoundSeries, keep: Keep) -> None:
        """C-GET of a series, one object in memory at a time."""
        what = f"study {series.study_uid}, series {series.series_uid}"
        keys = {"StudyInstanceUID": series.study_uid, "SeriesInstanceUID": series.series_uid}
        receiver = _Receiver(keep)
        roles = [build_role(uid, scp_role=True) for uid in (*IMAGES, *OTHERS)]
        with self._associated([build_context(GET), *_storage_contexts()], roles, receiver.receive) as association:
            for status, _ in association.send_c_get(_identifier("SERIES", keys), GET):
                if receiver.error is not None:
                    raise receiver.error
                self._check(status, what, (*PENDING, SUCCESS, PARTLY))

    def store(self, path: Path) -> None:
        """C-STORE of one object, in the transfer syntax of its file."""
        header = read_header(path)
        what = f"storing object {header.SOPInstanceUID}"
        context = build_context(header.SOPClassUID, header.file_meta.TransferSyntaxUID)
        with self._associated([context]) as association:
            status = association.send_c_store(path)
            self._check_heard(status, what)
            if status.Status != SUCCESS and status.Status not in STORED_WITH_WARNING:
                raise StudyFailedError(f"{self.name}: {what}: {refusal(status.Status)}")

    def close(self) -> None:
        """Nothing is kept open."""

    @contextmanager
    def _associated(
        self,
        contexts: Sequence[PresentationContext],
        roles: Sequence[Role] = (),
        receive: Callable[[Event], int] | None = None,
    ) -> Iterator[Association]:
        """An association in which the first context is accepted, released at the end, aborted after an error."""
        if not self._reached:
            reach(self._server, self.name)
            self._reached = True
        entity, wait_s = AE(ae_title=self._server.our_title), self._server.timeout_s
        entity.acse_timeout = entity.dimse_timeout = entity.connection_timeout = wait_s
        connection = _Connection(wait_s)
        handlers: list[EventHandlerType] = [
            (evt.EVT_CONN_OPEN, connection.hold),
            (evt.EVT_DATA_SENT, connection.acknowledge_at_once),
        ]
        if receive is not None:
            handlers.append((evt.EVT_C_STORE, receive))
        association = entity.associate(
            self._server.host,
            self._server.port,
            contexts=list(contexts),
            ae_title=self._server.title,
            ext_neg=list(roles),
            evt_handlers=handlers,
            tls_args=(open_tls(self._server), self._server.host) if self._server.tls else None,
        )
        try:
            needed = str(contexts[0].abstract_syntax)
            if needed not in {context.abstract_syntax for context in association.accepted_contexts}:
                raise explain_failure(self._server, association, needed, self.name)
            yield association
            association.release()
        finally:
            if association.is_established:
                association.abort()
            connection.close()

    def _check_heard(self, status: Dataset, what: str) -> None:
        if "Status" not in status:
            raise PacsSilentError(
                f"{self.name}, {what}: it broke off or did not answer within {self._server.timeout_s:g} s; ask the "
                "PACS' administrator whether it is up, or raise timeout_s in the server file"
            )

    def _check(self, status: Dataset, what: str, expected: Sequence[int]) -> None:
        self._check_heard(status, what)
        if status.Status not in expected:
            said = str(status.get("ErrorComment", "")).strip()
            raise StudyFailedError(
                f"{self.name}, {what}: it answered status 0x{status.Status:04X}{f' ({said})' if said else ''}, "
                "expected success; ask the PACS' administrator whether this center may query and retrieve (C-GET)"
            )


class _Connection:
    """The socket of an association, in what the library leaves undone."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._socket: socket.socket | None = None

    def hold(self, event: Event) -> None:
        """Limit every wait on it: a PACS that falls silent within a message is waited for without end otherwise."""
        held = event.assoc.dul.socket
        if held is not None and held.socket is not None:
            self._socket = held.socket
            self._socket.settimeout(self._timeout_s)

    def acknowledge_at_once(self, _event: Event) -> None:
        """Acknowledge what comes next without delay: a PACS that sends in pieces waits 40 ms an object otherwise."""
        if self._socket is not None:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def close(self) -> None:
        """Close it, which the library does not where the PACS closed first."""
        if self._socket is not None:
            self._socket.close()


class _Receiver:
    """Takes objects as they come; what went wrong on this side is kept, since the library swallows it."""

    def __init__(self, keep: Keep) -> None:
        self._keep = keep
        self.error: Exception | None = None

    def receive(self, event: Event) -> int:
        """Keep one object, as it was sent."""
        if self.error is not None:
            return OUT_OF_RESOURCES
        try:
            self._keep(str(event.file_meta.MediaStorageSOPInstanceUID), event.encoded_dataset())
        except Exception as error:  # noqa: BLE001 - raised again by who asked
            self.error = error
            return OUT_OF_RESOURCES
        return SUCCESS


def _storage_contexts() -> list[PresentationContext]:
    pairs = [(uid, syntax) for uid in IMAGES for syntax in (*PLAIN, *COMPRESSED)]
    pairs += [(uid, syntax) for uid in OTHERS for syntax in PLAIN]
    return [build_context(uid, syntax) for uid, syntax in pairs]


def _identifier(level: str, keys: dict[str, str]) -> Dataset:
    data = Dataset()
    data.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(data, keyword, value)
    return data


def _text(answer: Dataset, keyword: str) -> str:
    return str(answer.get(keyword) or "").strip()
