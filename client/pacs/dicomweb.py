"""A PACS by DICOMweb: QIDO-RS finds, WADO-RS fetches as it is stored there, STOW-RS stores (DICOM PS3.18).

The environment's proxies and .netrc are passed over and no redirection is followed: a PACS is in the house, and what is
asked of it shall not leave it.
"""

import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import requests
from dicomweb_client import DICOMwebClient
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset

from client.dicom.reading import read_object
from client.pacs.contract import FoundSeries, FoundStudy, Keep, StudyFailedError, StudyQuery, safe_uids
from client.pacs.http_faults import EXPECTED, explain
from client.pacs.settings import DicomwebServer
from client.pacs.store_reasons import refusal

BOUNDARY = re.compile(r"^multipart/.*boundary=\"?([^\";]+)", re.IGNORECASE)
EPILOGUE = 1024
"""Bytes at the end of an answer among which its closing boundary must be."""
AS_STORED = (("application/dicom", "*"),)
KEYS = {
    "study_uid": "StudyInstanceUID",
    "accession": "AccessionNumber",
    "patient_id": "PatientID",
    "study_date": "StudyDate",
}

Json = Mapping[str, Any]


class _Bearer(requests.auth.AuthBase):
    """Signs each request with a token, in the place where requests keeps credentials."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class DicomwebClient:
    """A PACS that is asked by DICOMweb."""

    def __init__(self, server: DicomwebServer) -> None:
        self._server, self._session = server, _session(server)
        # Archives hold UIDs that the standard forbids; what can name a file is asked for.
        self._client = DICOMwebClient(
            server.url.rstrip("/"), session=self._session, timeout=server.timeout_s, permissive_uid=True
        )
        self._client.set_http_retry_params(retry=False)

    @property
    def name(self) -> str:
        """Its address."""
        return f"PACS {self._server.url}"

    def find_studies(self, query: StudyQuery) -> tuple[FoundStudy, ...]:
        """QIDO-RS on studies."""
        keys = {KEYS[name]: value for name, value in vars(query).items() if value}
        with self._explained("worklist"):
            answers = self._client.search_for_studies(search_filters=keys, fields=list(KEYS.values()))
        found = (FoundStudy(**{name: _text(answer, key) for name, key in KEYS.items()}) for answer in answers)
        return tuple(study for study in found if study.answers(query))

    def find_series(self, study_uid: str) -> tuple[FoundSeries, ...]:
        """QIDO-RS on the series of a study, then on the instances of each."""
        what = f"study {study_uid}"
        answers = self._list(
            "SeriesInstanceUID", what, lambda offset: self._client.search_for_series(study_uid, offset=offset)
        )
        return tuple(
            FoundSeries(study_uid, uid, _text(answer, "Modality"), self._find_objects(study_uid, uid))
            for uid, answer in answers.items()
        )

    def _find_objects(self, study_uid: str, series_uid: str) -> tuple[str, ...]:
        what = f"study {study_uid}, series {series_uid}"
        return tuple(
            self._list(
                "SOPInstanceUID",
                what,
                lambda offset: self._client.search_for_instances(study_uid, series_uid, offset=offset),
            )
        )

    def _list(self, key: str, what: str, search: Callable[[int | None], Iterable[Json]]) -> dict[str, Json]:
        """UID -> answer, page by page until a page says nothing new."""
        found: dict[str, Json] = {}
        while True:
            with self._explained(what):
                page = {_text(answer, key): answer for answer in search(len(found) or None)}
            safe_uids(tuple(page), f"{self.name}: {what}")
            if page.keys() <= found.keys():
                return found
            found |= page

    def fetch_series(self, series: FoundSeries, keep: Keep) -> None:
        """WADO-RS of a series, one object in memory at a time."""
        what = f"study {series.study_uid}, series {series.series_uid}"
        with self._explained(what):
            coming = iter(self._client.iter_series(series.study_uid, series.series_uid, media_types=AS_STORED))
        while True:
            with self._explained(what):
                data = next(coming, None)
                content = b"" if data is None else _encode(data)
            if data is None:
                return
            # Outside: what `keep` raises is not the PACS' fault.
            keep(str(data.SOPInstanceUID), content)

    def store(self, path: Path) -> None:
        """STOW-RS of one object."""
        data = read_object(path)
        what = f"storing object {data.SOPInstanceUID}"
        with self._explained(what):
            try:
                answer = self._client.store_instances([data])
            except requests.HTTPError as error:
                answer = _failures(error)
            failed = answer.get("FailedSOPSequence")
        if failed:
            raise StudyFailedError(f"{self.name}: {what}: {refusal(failed[0].get('FailureReason'))}")

    def close(self) -> None:
        """Close the connections that are kept open."""
        self._session.close()

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        """Turn what the libraries raise into an error that names the PACS, the study and what to do."""
        try:
            with warnings.catch_warnings():
                # About values against the standard: what an archive holds is kept as it is.
                warnings.simplefilter("ignore")
                yield
        except EXPECTED as error:
            raise explain(error, f"{self.name}, {what}", timeout_s=self._server.timeout_s) from None


def _session(server: DicomwebServer) -> requests.Session:
    session = requests.Session()
    session.trust_env, session.max_redirects = False, 0
    session.hooks["response"].append(_demand_end)
    if server.authority is not None:
        session.verify = str(server.authority)
    if server.certificate is not None and server.key is not None:
        session.cert = (str(server.certificate), str(server.key))
    if token := server.token.get_secret_value():
        session.auth = _Bearer(token)
    elif server.username:
        session.auth = (server.username, server.password.get_secret_value())
    return session


def _demand_end(response: requests.Response, **_: object) -> None:
    """Make the reading of a multipart answer fail where its closing boundary is missing.

    Servers that say no length (Orthanc) end a broken answer as they end a whole one, and the library takes the object
    that was cut for complete.
    """
    boundary = BOUNDARY.search(response.headers.get("Content-Type", ""))
    if boundary is None:
        return
    closing, read = f"--{boundary[1]}--".encode(), response.iter_content

    def read_to_the_end(*arguments: Any, **options: Any) -> Iterator[Any]:
        tail = b""
        for chunk in read(*arguments, **options):
            tail = (tail + chunk[-EPILOGUE:])[-EPILOGUE:]
            yield chunk
        if closing not in tail:
            raise requests.ConnectionError("the answer broke off")

    response.iter_content = read_to_the_end  # type: ignore[method-assign]


def _text(answer: Json, keyword: str) -> str:
    """First value of an attribute in DICOM JSON, "" where there is none."""
    values = answer.get(f"{tag_for_keyword(keyword):08X}", {}).get("Value") or [""]
    return "" if values[0] is None else str(values[0]).strip()


def _encode(data: Dataset) -> bytes:
    """The bytes of a file; elements that nobody looked at are written as they came."""
    buffer = BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _failures(error: requests.HTTPError) -> Dataset:
    """What the answer says of objects that were not stored.

    Raises:
        HTTPError: the error itself, where the answer says nothing of objects.
    """
    try:
        found = Dataset.from_json(error.response.json() if error.response is not None else {})
    except (ValueError, KeyError, AttributeError, TypeError):
        raise error from None
    if "FailedSOPSequence" not in found:
        raise error
    return found
