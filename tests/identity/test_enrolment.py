"""The rules of `identity.enrolment`, and that a real TLS 1.3 handshake takes what it issues."""

from __future__ import annotations

import datetime as dt
import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given, settings
from hypothesis import strategies as st
from identity_parties import DAY, NOW, genesis, keys, known

from cloister.foundation.errors import BadInput, CloisterError, NotTrusted
from cloister.identity import cards, enrolment
from cloister.identity.enrolment import ENROLMENT_TYPE, Authority, create_authority, issue, make_csr
from cloister.identity.envelopes import sign


@pytest.fixture(scope="module")
def authority() -> Authority:
    return create_authority(NOW)


def refused(authority: Authority, csr: bytes, envelope: Any, directory: Any, now: int = NOW) -> NotTrusted:
    with pytest.raises(NotTrusted) as caught:
        issue(authority, csr, envelope, directory.live(now), now)
    return caught.value


def test_a_party_gets_a_certificate_in_its_own_name(authority: Authority) -> None:
    directory, card = known()
    _, csr = make_csr(card.party)
    envelope = enrolment.request(card.party, keys("plant"), csr, authority.certificate, NOW)
    certificate = issue(authority, csr, envelope, directory.live(NOW), NOW)
    assert enrolment.common_name(certificate) == card.party
    enrolment.check_certificate(certificate, authority.certificate, card.party, NOW)
    loaded = x509.load_pem_x509_certificate(certificate)
    assert list(loaded.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
        ExtendedKeyUsageOID.CLIENT_AUTH
    ]
    assert not loaded.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert enrolment.expires_at(certificate) == NOW + 90 * DAY
    assert not enrolment.renewal_due(certificate, NOW + 59 * DAY)
    assert enrolment.renewal_due(certificate, NOW + 61 * DAY)


def test_nothing_but_the_key_is_taken_from_the_certificate_request(authority: Authority) -> None:
    directory, card = known()
    key = ec.generate_private_key(ec.SECP256R1())
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(
            x509.Name(
                [
                    x509.NameAttribute(NameOID.COMMON_NAME, card.party),
                    x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Somebody else"),
                ]
            )
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("hub.example")]), critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )
    envelope = enrolment.request(card.party, keys("plant"), csr, authority.certificate, NOW)
    loaded = x509.load_pem_x509_certificate(issue(authority, csr, envelope, directory.live(NOW), NOW))
    assert len(list(loaded.subject)) == 1
    assert not loaded.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    names = loaded.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [card.party]


def test_a_request_by_somebody_else_or_for_another_key_or_hub_is_refused(authority: Authority) -> None:
    directory, card = known()
    other = directory.accept(genesis("other"), NOW)
    _, csr = make_csr(card.party)
    by_other = enrolment.request(card.party, keys("other"), csr, authority.certificate, NOW)
    assert refused(authority, csr, by_other, directory).clause == "signature"
    good = enrolment.request(card.party, keys("plant"), csr, authority.certificate, NOW)
    assert refused(authority, make_csr(card.party)[1], good, directory).clause == "enrolment"
    assert refused(create_authority(NOW), csr, good, directory).clause == "enrolment"
    _, others_csr = make_csr(other.party)
    crossed = enrolment.request(card.party, keys("plant"), others_csr, authority.certificate, NOW)
    assert refused(authority, others_csr, crossed, directory).clause == "enrolment"


def test_an_old_request_and_one_from_the_future_are_refused(authority: Authority) -> None:
    directory, card = known()
    _, csr = make_csr(card.party)
    envelope = enrolment.request(card.party, keys("plant"), csr, authority.certificate, NOW)
    assert refused(authority, csr, envelope, directory, NOW + 901).clause == "enrolment"
    ahead = enrolment.request(card.party, keys("plant"), csr, authority.certificate, NOW + 301)
    assert refused(authority, csr, ahead, directory).clause == "enrolment"


def test_a_revoked_party_is_not_enrolled(authority: Authority) -> None:
    directory, card = known()
    _, csr = make_csr(card.party)
    envelope = enrolment.request(card.party, keys("plant"), csr, authority.certificate, NOW)
    directory.accept(cards.revoke(card, NOW, current=keys("plant")), NOW)
    refused(authority, csr, envelope, directory)


def test_only_ec_p_256_keys_are_taken(authority: Authority) -> None:
    directory, card = known()
    for key in (rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP384R1())):
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, card.party)])
        csr = (
            x509.CertificateSigningRequestBuilder()
            .subject_name(name)
            .sign(key, hashes.SHA256())
            .public_bytes(Encoding.PEM)
        )
        envelope = enrolment.request(card.party, keys("plant"), csr, authority.certificate, NOW)
        with pytest.raises(BadInput, match="P-256"):
            issue(authority, csr, envelope, directory.live(NOW), NOW)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_bytes_as_a_certificate_request_are_refused(authority: Authority, data: st.DataObject) -> None:
    directory, card = known()
    csr = bytearray(make_csr(card.party)[1])
    for _ in range(data.draw(st.integers(1, 5))):
        csr[data.draw(st.integers(0, 10_000)) % len(csr)] = data.draw(st.integers(0, 255))
    csr = bytes(csr[: data.draw(st.integers(1, 1000))])
    envelope = enrolment.request(card.party, keys("plant"), csr, authority.certificate, NOW)
    try:
        certificate = issue(authority, csr, envelope, directory.live(NOW), NOW)
    except CloisterError:
        return
    # Changes outside the encoded request (for example in PEM white space) leave it what it was.
    assert enrolment.common_name(certificate) == card.party


def test_a_malformed_enrolment_document_is_refused(authority: Authority) -> None:
    directory, card = known()
    envelope = sign(ENROLMENT_TYPE, {"party": card.party}, card.party, keys("plant"))
    with pytest.raises(BadInput):
        issue(authority, b"", envelope, directory.live(NOW), NOW)


def test_a_node_notices_a_certificate_that_is_not_its_own(authority: Authority) -> None:
    directory, card = known()
    other = directory.accept(genesis("other"), NOW)
    _, csr = make_csr(other.party)
    envelope = enrolment.request(other.party, keys("other"), csr, authority.certificate, NOW)
    certificate = issue(authority, csr, envelope, directory.live(NOW), NOW)
    for arguments in (
        (certificate, authority.certificate, card.party, NOW),
        (certificate, create_authority(NOW).certificate, other.party, NOW),
        (certificate, authority.certificate, other.party, NOW + 90 * DAY),
    ):
        with pytest.raises(NotTrusted):
            enrolment.check_certificate(*arguments)
    with pytest.raises(BadInput):
        enrolment.common_name(b"no certificate")


@pytest.mark.parametrize("host", ["", "Hub.example", "hub_1", "-x", "a" * 254, "a..b", "*.example", "x y"])
def test_a_malformed_host_is_refused(authority: Authority, host: str) -> None:
    with pytest.raises(BadInput):
        enrolment.issue_server(authority, [host], NOW)


def test_a_server_certificate_needs_a_host(authority: Authority) -> None:
    with pytest.raises(BadInput):
        enrolment.issue_server(authority, [], NOW)


def test_an_authority_about_to_expire_issues_nothing(authority: Authority) -> None:
    with pytest.raises(NotTrusted, match="authority itself"):
        enrolment.issue_server(authority, ["localhost"], NOW + 3600 * DAY)


def test_tls_takes_the_certificates_on_both_sides(tmp_path: Path) -> None:
    now = int(dt.datetime.now(dt.UTC).timestamp())
    authority = create_authority(now)
    directory, card = known(now=now)
    key, csr = make_csr(card.party)
    envelope = enrolment.request(card.party, keys("plant"), csr, authority.certificate, now)
    certificate = issue(authority, csr, envelope, directory.live(now), now)
    server_key, server_certificate = enrolment.issue_server(authority, ["localhost", "127.0.0.1", "::1"], now)

    def context(side: int, name: str, certificate: bytes, key: bytes) -> ssl.SSLContext:
        made = ssl.SSLContext(side)
        made.minimum_version = ssl.TLSVersion.TLSv1_3
        (tmp_path / name).write_bytes(certificate + key)
        made.load_cert_chain(tmp_path / name)
        made.load_verify_locations(cadata=authority.certificate.decode())
        made.verify_mode = ssl.CERT_REQUIRED
        return made

    server_context = context(ssl.PROTOCOL_TLS_SERVER, "server", server_certificate, server_key)
    client_context = context(ssl.PROTOCOL_TLS_CLIENT, "client", certificate, key)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    client = client_context.wrap_bio(to_client, to_server, server_hostname="127.0.0.1")
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    server.do_handshake()
    subject = dict(item[0] for item in server.getpeercert()["subject"])
    assert subject["commonName"] == card.party
