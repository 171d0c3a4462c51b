"""Passkeys, rule by rule (see `cloister.people.passkeys`), with a security key in software."""

from __future__ import annotations

import json
import secrets

import cbor2
import pytest

from cloister.foundation.errors import BadInput, CloisterError, Refused
from cloister.people import passkeys
from people.authenticator import Device, b64, unb64

ORIGIN = "https://node.example:8443"
ORIGINS = frozenset({ORIGIN})
HOST = "node.example"


@pytest.fixture
def device():
    return Device()


def enrolled(device):
    challenge = secrets.token_bytes(32)
    asked = passkeys.asking_new(HOST, "Plant A", "0123456789abcdef", "Ada", challenge, ())
    answer = passkeys.answer_of(device.create(asked, ORIGIN))
    assert passkeys.challenge_of(answer) == challenge
    return passkeys.made(answer, challenge, HOST, ORIGINS)


def asked_for(ids=()):
    challenge = secrets.token_bytes(32)
    return challenge, passkeys.asking(HOST, challenge, ids)


def read_as_new(told):
    read = passkeys.challenge_of(told)
    passkeys.account_of(told)
    return passkeys.made(told, read, HOST, ORIGINS)


def refused(work, clause="passkey"):
    with pytest.raises(Refused) as found:
        work()
    assert found.value.clause == clause


def test_a_passkey_is_made_and_used(device):
    new = enrolled(device)
    challenge, asked = asked_for([new.id])
    answer = passkeys.answer_of(device.get(asked, ORIGIN))
    assert passkeys.id_of(answer) == new.id
    assert passkeys.account_of(answer) == "0123456789abcdef"
    assert passkeys.used(answer, challenge, HOST, ORIGINS, new.key, new.count) == new.count + 1


def test_the_browser_is_asked_for_verification_and_told_no_secret(device):
    challenge, asked = asked_for()
    assert asked["userVerification"] == "required"
    new = passkeys.asking_new(HOST, "Plant A", "0123456789abcdef", "Ada", challenge, ["AAAA"])
    assert new["authenticatorSelection"]["userVerification"] == "required"
    assert new["attestation"] == "none"
    assert [item["id"] for item in new["excludeCredentials"]] == ["AAAA"]
    assert {item["alg"] for item in new["pubKeyCredParams"]} == {-7, -8, -257}


def test_rule_1_another_challenge_origin_or_host_is_refused(device):
    new = enrolled(device)
    challenge, asked = asked_for()
    answer = passkeys.answer_of(device.get(asked, ORIGIN))
    refused(lambda: passkeys.used(answer, b"y" * 32, HOST, ORIGINS, new.key, 0))
    refused(lambda: passkeys.used(answer, challenge, "other.example", ORIGINS, new.key, 0))
    elsewhere = passkeys.answer_of(device.get(asked, "https://evil.example"))
    refused(lambda: passkeys.used(elsewhere, challenge, HOST, ORIGINS, new.key, 0))
    wrong_port = passkeys.answer_of(device.get(asked, "https://node.example:9999"))
    refused(lambda: passkeys.used(wrong_port, challenge, HOST, ORIGINS, new.key, 0))


def test_rule_1_holds_when_a_passkey_is_made(device):
    challenge = secrets.token_bytes(32)
    asked = passkeys.asking_new(HOST, "", "0123456789abcdef", "Ada", challenge, ())
    for origin, host, expected in (
        ("https://evil.example", HOST, challenge),
        (ORIGIN, "evil.example", challenge),
        (ORIGIN, HOST, b"y" * 32),
    ):
        answer = passkeys.answer_of(device.create(asked, origin, host))
        refused(lambda answer=answer, expected=expected: passkeys.made(answer, expected, HOST, ORIGINS))


def test_rule_1_an_answer_of_one_kind_does_not_stand_for_the_other(device):
    new = enrolled(device)
    challenge, asked = asked_for()
    told = json.loads(device.get(asked, ORIGIN))
    client = json.loads(unb64(told["response"]["clientDataJSON"]))
    client["type"] = "webauthn.create"
    told["response"]["clientDataJSON"] = b64(json.dumps(client).encode())
    refused(lambda: passkeys.used(told, challenge, HOST, ORIGINS, new.key, 0))


def test_rule_2_presence_alone_is_not_enough(device):
    new = enrolled(device)
    device.verified = False
    challenge, asked = asked_for()
    answer = passkeys.answer_of(device.get(asked, ORIGIN))
    refused(lambda: passkeys.used(answer, challenge, HOST, ORIGINS, new.key, new.count))
    refused(lambda: enrolled(device))


def test_rule_3_an_answer_from_within_a_frame_is_refused(device):
    device.framed = True
    _, asked = asked_for()
    device.create(passkeys.asking_new(HOST, "", "0123456789abcdef", "Ada", b"c" * 32, ()), ORIGIN)
    answer = passkeys.answer_of(device.get(asked, ORIGIN))
    refused(lambda: passkeys.challenge_of(answer))


@pytest.mark.parametrize("count", [2, 5, 2**32 - 1])
def test_rule_4_a_count_that_does_not_go_up_is_a_copy(device, count):
    new = enrolled(device)
    challenge, asked = asked_for()
    answer = passkeys.answer_of(device.get(asked, ORIGIN))
    refused(lambda: passkeys.used(answer, challenge, HOST, ORIGINS, new.key, count), "passkey-copied")


def test_rule_4_a_device_that_does_not_count_says_0_each_time():
    device = Device(counts=False)
    new = enrolled(device)
    for _ in range(2):
        challenge, asked = asked_for()
        answer = passkeys.answer_of(device.get(asked, ORIGIN))
        assert passkeys.used(answer, challenge, HOST, ORIGINS, new.key, 0) == 0
    refused(lambda: passkeys.used(answer, challenge, HOST, ORIGINS, new.key, 7), "passkey-copied")


def test_another_devices_signature_is_refused(device):
    new, other = enrolled(device), Device()
    enrolled(other)
    challenge, asked = asked_for()
    answer = passkeys.answer_of(other.get(asked, ORIGIN))
    refused(lambda: passkeys.used(answer, challenge, HOST, ORIGINS, new.key, 0))


def test_rule_5_another_algorithm_or_attestation_is_refused(device):
    challenge = secrets.token_bytes(32)
    asked = passkeys.asking_new(HOST, "", "0123456789abcdef", "Ada", challenge, ())
    told = json.loads(device.create(asked, ORIGIN))
    attested = cbor2.loads(unb64(told["response"]["attestationObject"]))
    for change in (
        {"fmt": "tpm"},
        {"fmt": "fido-u2f"},
        {"authData": attested["authData"].replace(b"\x01\x02\x03\x26", b"\x01\x02\x03\x38", 1)},
    ):
        told["response"]["attestationObject"] = b64(cbor2.dumps(attested | change))
        refused(lambda: passkeys.made(told, challenge, HOST, ORIGINS))


@pytest.mark.parametrize(
    "bytes_sent",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'{"response": 3}',
        b"\xff",
        b'{"a":' * 40 + b"1" + b"}" * 40,
        b'"' + b"x" * 40_000 + b'"',
    ],
)
def test_rule_6_what_cannot_be_read_is_bad_input(bytes_sent):
    with pytest.raises(BadInput):
        passkeys.challenge_of(passkeys.answer_of(bytes_sent))


def test_rule_6_whatever_a_browser_sends_is_a_refusal_and_no_other_failure(device):
    new = enrolled(device)
    challenge, asked = asked_for()
    whole = json.loads(device.get(asked, ORIGIN))
    junk = [
        None,
        3,
        [],
        {},
        "",
        "!",
        "AAAA",
        b64(secrets.token_bytes(200)),
        b64(b'{"challenge": 4}'),
        "A" * 5000,
    ]
    for place in ("clientDataJSON", "authenticatorData", "signature", "userHandle", "attestationObject"):
        for value in junk:
            told = whole | {"response": whole["response"] | {place: value}}
            with pytest.raises(CloisterError):
                read_as_new(told)
            if place not in {"userHandle", "attestationObject"}:
                refused(lambda told=told: passkeys.used(told, challenge, HOST, ORIGINS, new.key, 0))
    for place in ("id", "rawId", "type"):
        for value in junk:
            refused(
                lambda told=whole | {place: value}: passkeys.used(told, challenge, HOST, ORIGINS, new.key, 0)
            )


@pytest.mark.parametrize(
    ("given", "host"),
    [
        ("localhost:8480", "localhost"),
        ("Node.Example", "node.example"),
        ("a.b-c.example:443", "a.b-c.example"),
    ],
)
def test_a_page_with_a_name_can_have_passkeys(given, host):
    assert passkeys.host_of(given) == host


@pytest.mark.parametrize(
    "given", ["127.0.0.1:8480", "192.0.2.1", "[::1]:8480", "::1", "", "a..b", "a b", "-a", "x" * 300]
)
def test_a_page_seen_by_its_address_cannot_and_says_so(given):
    with pytest.raises(BadInput) as found:
        passkeys.host_of(given)
    assert "localhost" in found.value.remedy
