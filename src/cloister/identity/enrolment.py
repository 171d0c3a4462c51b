"""The hub's enrolment authority: transport certificates that let a node talk. They confer no trust.

The carrier checks certificates (who may connect, and under which name); trust is in party cards, which people compare,
and in signatures and seals inside the messages. A hub that issued a false certificate could get bytes delivered to a
stranger, who could neither open nor forge them.

Rules:
1. A certificate's common name is the party's fingerprint, and nothing else is taken from the certificate request:
   no names, no extensions, no validity.
2. The request for it is a document signed by the party's current keys that names the digest of the certificate
   request and of the authority, so that neither can be swapped.
3. The signed request is fresh (`REQUEST_LIFETIME`), and the certificate request proves possession of its key.
4. Only EC P-256 keys: the carrier's TLS library takes them everywhere.
5. Certificates are short-lived and renewed; there is no revocation list. A revoked party's signed request is refused,
   and the relay drops it from its access rules.

Sources: RFC 5280 (certificates), RFC 2986 (requests).
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Literal

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cloister.foundation.canonical import canonical
from cloister.foundation.clock import parse_rfc3339, rfc3339
from cloister.foundation.digests import DIGEST_PATTERN, digest, same
from cloister.foundation.errors import BadInput, NotTrusted
from cloister.identity.envelopes import Envelope, KeyDirectory, sign, verify
from cloister.identity.keys import PartyId, SecretKeys

ENROLMENT_TYPE = "application/vnd.cloister.enrolment+json"
MAX_PEM = 16 << 10
REQUEST_LIFETIME = 900
TOLERANCE = 300
DAY = 86_400
LIFETIME = 90 * DAY
RENEW_BEFORE = 30 * DAY
AUTHORITY_LIFETIME = 10 * 365 * DAY
_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")


class EnrolmentRequest(BaseModel):
    """What a party signs to get a transport certificate."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    type: Literal["cloister/enrolment@1"]
    party: PartyId
    request: Annotated[str, Field(pattern=DIGEST_PATTERN)]
    authority: Annotated[str, Field(pattern=DIGEST_PATTERN)]
    issued: Annotated[str, Field(max_length=20)]


@dataclass(frozen=True)
class Authority:
    """The hub's issuing key and its self-signed certificate, both PEM. The key belongs in the keystore."""

    certificate: bytes
    key: bytes = field(repr=False)

    @property
    def digest(self) -> str:
        """The digest by which requests name this authority."""
        return authority_digest(self.certificate)


def authority_digest(certificate: bytes) -> str:
    """The digest of a certificate (PEM in, computed over its DER form)."""
    return digest(_load_certificate(certificate).public_bytes(Encoding.DER))


def create_authority(now: int, name: str = "Cloister enrolment") -> Authority:
    """A new enrolment authority, valid for ten years. It can issue end certificates only."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        _builder(subject, subject, key.public_key(), now, AUTHORITY_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate.public_bytes(Encoding.PEM), _pem(key))


def make_csr(party: str) -> tuple[bytes, bytes]:
    """A new transport key and a certificate request for it: `(key PEM, request PEM)`. The key is secret."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, party)]))
        .sign(key, hashes.SHA256())
    )
    return _pem(key), request.public_bytes(Encoding.PEM)


def request(party: str, keys: SecretKeys, csr: bytes, authority_certificate: bytes, now: int) -> Envelope:
    """The signed request that goes to the hub together with the certificate request."""
    document = EnrolmentRequest(
        type="cloister/enrolment@1",
        party=party,
        request=digest(csr),
        authority=authority_digest(authority_certificate),
        issued=rfc3339(now),
    )
    return sign(ENROLMENT_TYPE, document.model_dump(mode="json"), party, keys)


def issue(authority: Authority, csr: bytes, envelope: Envelope, directory: KeyDirectory, now: int) -> bytes:
    """A transport certificate (PEM) for the party that signed the request.

    Args:
        authority: the hub's authority.
        csr: the certificate request, PEM.
        envelope: what `request` made.
        directory: use `Directory.live(now)`, so that expired and revoked parties are refused.
        now: seconds since the epoch.

    Raises:
        NotTrusted: rules 2 and 3.
        BadInput: a malformed request, or a key of another kind (rule 4).
    """
    asked = _read(envelope)
    verify(envelope, ENROLMENT_TYPE, [asked.party], directory)
    issued = parse_rfc3339(asked.issued)
    if not now - REQUEST_LIFETIME <= issued <= now + TOLERANCE:
        raise _refused("The request is too old, or a clock is wrong.")
    if not same(asked.request, digest(csr)) or not same(asked.authority, authority.digest):
        raise _refused("The party signed a request for another key or another relay.")
    public = _requested_key(csr, asked.party)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, asked.party)])
    return _end_certificate(
        authority, subject, public, [x509.DNSName(asked.party)], now, [ExtendedKeyUsageOID.CLIENT_AUTH]
    )


def issue_server(authority: Authority, hosts: Iterable[str], now: int) -> tuple[bytes, bytes]:
    """The hub's own certificate for the names and addresses under which nodes reach it: `(key PEM, certificate PEM)`.

    It also serves as a client certificate, for linking relays. Raises `BadInput` for a malformed host.
    """
    names: list[x509.GeneralName] = []
    for host in hosts:
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            if not _HOST.fullmatch(host):
                raise BadInput(
                    "A host name is malformed.",
                    "Names have lower-case letters, digits, hyphens and dots.",
                    "Give the name or address under which servers reach this relay.",
                ) from None
            names.append(x509.DNSName(host))
    if not names:
        raise BadInput("A server certificate needs a host name.", "", "Give at least one.")
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Cloister hub")])
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    return _pem(key), _end_certificate(authority, subject, key.public_key(), names, now, usages)


def common_name(certificate: bytes) -> str:
    """The common name of a certificate (PEM): a party's fingerprint, on transport certificates."""
    found = _load_certificate(certificate).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if len(found) != 1:
        raise BadInput("A certificate has no single common name.", "", "Ask the relay for a new certificate.")
    return str(found[0].value)


def expires_at(certificate: bytes) -> int:
    """When a certificate (PEM) ends, seconds since the epoch."""
    return int(_load_certificate(certificate).not_valid_after_utc.timestamp())


def renewal_due(certificate: bytes, now: int) -> bool:
    """Whether it is time to ask for a new certificate."""
    return expires_at(certificate) - now < RENEW_BEFORE


def belongs(key: bytes, certificate: bytes) -> bool:
    """Whether a transport key (PEM) is the one that a certificate (PEM) is for. Raises `BadInput` for a malformed certificate."""
    public = _load_certificate(certificate).public_key()
    try:
        return load_pem_private_key(key, password=None).public_key() == public
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False


def check_certificate(certificate: bytes, authority_certificate: bytes, party: str, now: int) -> None:
    """What a node checks on the certificate it got. Raises `NotTrusted` unless it is for `party`, valid and issued so."""
    issued, by = _load_certificate(certificate), _load_certificate(authority_certificate)
    try:
        issued.verify_directly_issued_by(by)
    except (InvalidSignature, ValueError, TypeError):
        raise _refused("It was not issued by this relay's authority.") from None
    if common_name(certificate) != party:
        raise _refused("It is for another party.")
    if not int(issued.not_valid_before_utc.timestamp()) <= now < expires_at(certificate):
        raise _refused("It is not valid at this time.")


def _read(envelope: Envelope) -> EnrolmentRequest:
    try:
        return EnrolmentRequest.model_validate_json(canonical(envelope.document()))
    except ValidationError:
        raise BadInput(
            "An enrolment request could not be read.", "Its form is not the one expected.", "Send it again."
        ) from None


def _requested_key(csr: bytes, party: str) -> ec.EllipticCurvePublicKey:
    if len(csr) > MAX_PEM:
        raise BadInput(
            "A certificate request is too large.", f"The limit is {MAX_PEM} bytes.", "Make a new one."
        )
    try:
        loaded = x509.load_pem_x509_csr(csr)
        valid = loaded.is_signature_valid
        names = [str(item.value) for item in loaded.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        public = loaded.public_key()
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        raise BadInput(
            "A certificate request could not be read.",
            "It is not a PEM certificate request.",
            "Make a new one.",
        ) from None
    if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1):
        raise BadInput(
            "A transport key is of a kind that is not accepted.", "Only EC P-256 is.", "Make a new request."
        )
    if not valid or names != [party]:
        raise _refused("It does not prove possession of its key, or is for another party.")
    return public


def _end_certificate(
    authority: Authority,
    subject: x509.Name,
    public: ec.EllipticCurvePublicKey,
    names: list[x509.GeneralName],
    now: int,
    usages: list[x509.ObjectIdentifier],
) -> bytes:
    issuer = _load_certificate(authority.certificate)
    key = load_pem_private_key(authority.key, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise BadInput("The enrolment authority's key is not an EC key.", "", "Create the authority again.")
    if now + LIFETIME > int(issuer.not_valid_after_utc.timestamp()):
        raise _refused("The relay's authority itself is about to expire; its operator must make a new one.")
    certificate = (
        _builder(subject, issuer.subject, public, now, LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(Encoding.PEM)


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, now: int, lifetime: int
) -> x509.CertificateBuilder:
    start = dt.datetime.fromtimestamp(now, dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - dt.timedelta(seconds=TOLERANCE))
        .not_valid_after(start + dt.timedelta(seconds=lifetime))
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _load_certificate(pem: bytes) -> x509.Certificate:
    if len(pem) > MAX_PEM:
        raise BadInput("A certificate is too large.", f"The limit is {MAX_PEM} bytes.", "Ask for it again.")
    try:
        return x509.load_pem_x509_certificate(pem)
    except (ValueError, TypeError):
        raise BadInput("A certificate could not be read.", "It is not PEM.", "Ask for it again.") from None


def _refused(why: str) -> NotTrusted:
    return NotTrusted(
        "A transport certificate is refused.",
        why,
        "Connect again: cloister node connect INVITATION",
        clause="enrolment",
    )
