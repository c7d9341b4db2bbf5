"""`concilium audit verify`: the log against itself, its signatures, and everything that it speaks of.

chained     no line up to the head was changed, removed, added or moved by who did not write log and head anew
signed      nor by anybody, up to the last head that the authority signed
agrees      bank, checkpoints, prepared files, result, registry and certificates of withdrawal are what the events say
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cryptography import x509

from protocol.errors import EnrolmentError
from protocol.storage.chain_check import Chain, check_chain
from server.audit.bank_check import bank_findings
from server.audit.finding import Finding, Weight, is_last_of_its_writer
from server.audit.signed_head import EVENT, SignedHead, check_signature, head_of_event
from server.audit.state_check import member_findings, state_findings
from server.audit.told_file import tells_every_file
from server.study.audit_log import AuditEvent, read_events
from server.study.directory import StudyDirectory
from server.study.file import read_study
from server.tls.authority import fingerprint_of, read_certificate
from strategies.bank.told import digest


@dataclass(frozen=True)
class Verification:
    """What was found.

    signed: the last head in the log whose signature holds. authority: fingerprint of the certificate it was checked
    with, "" where the study has no authority. every_file: whether the log tells of each file of bank and result.
    """

    chain: Chain
    events: tuple[AuditEvent, ...]
    findings: tuple[Finding, ...]
    signed: SignedHead | None
    authority: str
    every_file: bool

    @property
    def whole(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


def verify(directory: StudyDirectory, *, kept: Sequence[SignedHead] = (), noted: Sequence[str] = ()) -> Verification:
    """Check everything; reads alone.

    Args:
        directory: of the study.
        kept: signed heads that were kept elsewhere: the log must still have them.
        noted: heads that somebody noted.

    Raises:
        StudyError: there is no study.
        StorageError: the log cannot be read.
    """
    study = read_study(directory.study_file).name
    chain, events = check_chain(directory.audit), read_events(directory.audit)
    certificate, findings = _certificate_of(directory)
    signatures = [(event, head_of_event(event.facts)) for event in events if event.event == EVENT]
    if not events:
        findings.append(Finding("broken", str(directory.audit), "there is no event in it, or no such file"))
    elif chain.broken is not None:
        what = f"{directory.audit} line {chain.broken.line}"
        findings.append(Finding("broken", what, f"it does not stand as it was written: {chain.broken.found}"))
    findings += _signature_findings(directory, signatures, certificate, study)
    findings += _kept_findings(directory, chain, [*kept], certificate, noted)
    if events:
        findings += [*bank_findings(directory.bank, events), *state_findings(directory, events)]
        findings += [*member_findings(directory, study, events), *_withdrawal_findings(directory, events)]
    good = [signed for _, signed in signatures if signed and certificate and not check_signature(signed, certificate)]
    authority = "" if certificate is None else fingerprint_of(certificate)
    signed = good[-1] if good else None
    if certificate is not None and signed is None:
        findings += _unsigned_findings(directory, events)
    return Verification(chain, events, tuple(findings), signed, authority, tells_every_file(events))


def _certificate_of(directory: StudyDirectory) -> tuple[x509.Certificate | None, list[Finding]]:
    """The authority's certificate; None of a study that was simulated."""
    path = directory.authority_certificate
    if not path.exists():
        return None, []
    try:
        return read_certificate(path), []
    except EnrolmentError as error:
        return None, [Finding("broken", str(path), str(error))]


def _signature_findings(
    directory: StudyDirectory,
    signatures: Sequence[tuple[AuditEvent, SignedHead | None]],
    certificate: x509.Certificate | None,
    study: str,
) -> Iterator[Finding]:
    for event, signed in signatures:
        what = f"{directory.audit} event {event.number}"
        if signed is None:
            yield Finding("broken", what, "it is no signed head")
        elif (signed.lines, signed.head, signed.study) != (event.number - 1, event.chain, study):
            yield Finding(
                "broken", what, f"it signs line {signed.lines} of study '{signed.study}', not what it follows"
            )
        elif certificate is None:
            yield Finding("broken", what, f"the authority's certificate {directory.authority_certificate} is missing")
        elif wrong := check_signature(signed, certificate):
            yield Finding("broken", what, wrong)


def _unsigned_findings(directory: StudyDirectory, events: Sequence[AuditEvent]) -> Iterator[Finding]:
    """A study that ran under an authority has been signed by it: `study init` does so where the key is open."""
    ran = [found for found in events if found.event in {"launched", "started"}]
    if ran:
        yield Finding(
            "unfinished",
            str(directory.audit),
            f"the study has an authority and ran (event {ran[0].number}), and no event of it is signed: the signatures "
            "were taken out, or nobody has signed yet. Compare with a copy or a head that was kept, then `concilium "
            "audit sign`",
        )


def _kept_findings(
    directory: StudyDirectory,
    chain: Chain,
    kept: Sequence[SignedHead],
    certificate: x509.Certificate | None,
    noted: Sequence[str],
) -> Iterator[Finding]:
    """A head that was kept or noted must be among the states of the log."""
    for signed in kept:
        what = f"signed head of {signed.signed_at}"
        if certificate is not None and (wrong := check_signature(signed, certificate)):
            yield Finding("broken", what, wrong)
        elif signed.head not in chain.states:
            found = f"{directory.audit} does not lead to its {signed.lines} line(s): it was cut, or written anew"
            yield Finding("broken", what, found)
    for head in noted:
        if head not in chain.states:
            yield Finding(
                "broken", f"head {head}", f"{directory.audit} does not lead to it: it was cut, or written anew"
            )


def _withdrawal_findings(directory: StudyDirectory, events: Sequence[AuditEvent]) -> Iterator[Finding]:
    told = {str(found.facts["certificate"]): found for found in events if found.event == "withdrawn"}
    there = {path.name for path in directory.withdrawals.glob("*.json")}
    for name in sorted(there | told.keys()):
        path = directory.withdrawals / name
        if name not in told:
            yield Finding("broken", str(path), "no event of the log issued this certificate")
        elif name not in there:
            weight: Weight = "unfinished" if is_last_of_its_writer(events, told[name]) else "broken"
            yield Finding(weight, str(path), f"it is missing; event {told[name].number} issued it; withdraw again")
        elif digest(path.read_bytes()) != told[name].facts["sha256"]:
            yield Finding("broken", str(path), f"it is not what event {told[name].number} issued")
