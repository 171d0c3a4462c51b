"""Passkeys (W3C Web Authentication, level 3): what is asked of a browser, and whether its answer holds.

Rules:
1. An answer counts only for the challenge that was issued, the origin of this page, and its host's name (sections 7.1 and 7.2).
2. The person was there and showed it to the device (user verification), by a PIN or a finger; presence alone is not enough.
3. An answer given within another site's frame is refused.
4. A count that does not go up shows a copied passkey, and the answer is refused; devices that do not count say 0 each time.
5. Keys are of ES256, EdDSA or RS256. No attestation is asked for: which make a device is does not matter here.
6. What a browser sends is parsed within limits, and any failure to do so is a refusal.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import webauthn
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url, parse_attestation_object
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from cloister.foundation.canonical import parse
from cloister.foundation.errors import BadInput, CloisterError, Refused

MOST_ANSWER = 32 << 10
MOST_ID = 1023
MOST_KEY = 2048
TIMEOUT = 120_000
_ALGORITHMS = [
    COSEAlgorithmIdentifier.ECDSA_SHA_256,
    COSEAlgorithmIdentifier.EDDSA,
    COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256,
]
_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
T = TypeVar("T")


@dataclass(frozen=True)
class NewPasskey:
    """What is kept of a passkey that was just made: its name, its public key (COSE), its count."""

    id: str
    key: bytes
    count: int


def host_of(host: str) -> str:
    """The name that passkeys are made for.

    Args:
        host: a `Host` header, with or without a port.

    Raises:
        BadInput: it is an address; browsers make passkeys for names only.
    """
    name = host.strip().lower()
    if name.startswith("[") or name.count(":") > 1:
        name = name.partition("]")[0].lstrip("[")
    else:
        name = name.partition(":")[0]
    try:
        ipaddress.ip_address(name)
    except ValueError:
        if _NAME.fullmatch(name):
            return name
    raise BadInput(
        "Passkeys need a page with a name.",
        "This page was opened by its address in numbers, and browsers make passkeys for names only.",
        "Open it as localhost on its own machine, or by the server's name; or use a password.",
    )


def asking_new(
    host: str, organisation: str, account: str, name: str, challenge: bytes, have: Iterable[str]
) -> dict[str, Any]:
    """What a browser is given to make a passkey (`navigator.credentials.create`).

    Args:
        host: from `host_of`.
        organisation: what the browser shows as the site's name.
        account: the account's random name, which the passkey remembers.
        name: the account's name for people.
        challenge: from `challenges`.
        have: the account's passkeys, so that a device is not added twice.
    """
    options = webauthn.generate_registration_options(
        rp_id=host,
        rp_name=organisation or "Cloister",
        user_id=account.encode(),
        user_name=name,
        user_display_name=name,
        challenge=challenge,
        timeout=TIMEOUT,
        exclude_credentials=_described(have),
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.PREFERRED,
            user_verification=UserVerificationRequirement.REQUIRED,
        ),
        supported_pub_key_algs=_ALGORITHMS,
    )
    return _plain(options)


def asking(host: str, challenge: bytes, ids: Iterable[str]) -> dict[str, Any]:
    """What a browser is given to use a passkey (`navigator.credentials.get`); any of this host's if `ids` is empty."""
    options = webauthn.generate_authentication_options(
        rp_id=host,
        challenge=challenge,
        timeout=TIMEOUT,
        allow_credentials=_described(ids),
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return _plain(options)


def answer_of(text: str | bytes) -> dict[str, Any]:
    """A browser's answer as it was sent, JSON. Raises `BadInput` (rule 6)."""
    data = text.encode("utf-8", "replace") if isinstance(text, str) else text
    found = parse(data, max_bytes=MOST_ANSWER, max_depth=8)
    if not isinstance(found, dict) or not isinstance(found.get("response"), dict):
        raise _unreadable()
    return found


def challenge_of(answer: Mapping[str, Any]) -> bytes:
    """The challenge that an answer says it answers; nothing is checked yet. Raises `BadInput`."""

    def read() -> bytes:
        told = parse(base64url_to_bytes(answer["response"]["clientDataJSON"]), max_bytes=MOST_ANSWER)
        # Rule 3; the library leaves it to its caller.
        if told.get("crossOrigin") not in (None, False) or told.get("topOrigin") is not None:
            raise _refused()
        return base64url_to_bytes(told["challenge"])

    return _guarded(read, _unreadable)


def id_of(answer: Mapping[str, Any]) -> str:
    """Which passkey an answer says it is from. Raises `BadInput`."""
    found = answer.get("id")
    if not isinstance(found, str) or not 1 <= len(found) <= 2 * MOST_ID:
        raise _unreadable()
    return found


def account_of(answer: Mapping[str, Any]) -> str | None:
    """The account that a passkey remembers, if it told. Raises `BadInput`."""
    handle = answer["response"].get("userHandle")
    return None if not handle else _guarded(lambda: base64url_to_bytes(handle).decode("ascii"), _unreadable)


def made(answer: Mapping[str, Any], challenge: bytes, host: str, origins: frozenset[str]) -> NewPasskey:
    """The passkey that a browser made. Raises `Refused` (clause `passkey`) where a rule does not hold."""

    def verify() -> NewPasskey:
        attested = parse_attestation_object(base64url_to_bytes(answer["response"]["attestationObject"]))
        if attested.fmt not in {"none", "packed"}:
            raise _refused()
        found = webauthn.verify_registration_response(
            credential=dict(answer),
            expected_challenge=challenge,
            expected_rp_id=host,
            expected_origin=sorted(origins),
            require_user_verification=True,
            supported_pub_key_algs=_ALGORITHMS,
        )
        if len(found.credential_id) > MOST_ID or len(found.credential_public_key) > MOST_KEY:
            raise _refused()
        return NewPasskey(
            bytes_to_base64url(found.credential_id), found.credential_public_key, found.sign_count
        )

    return _guarded(verify, _refused)


def used(
    answer: Mapping[str, Any], challenge: bytes, host: str, origins: frozenset[str], key: bytes, count: int
) -> int:
    """The new count of a passkey that answered.

    Args:
        answer: the browser's.
        challenge: that it was given.
        host: from `host_of`.
        origins: of this page.
        key: the passkey's public key.
        count: at its last use.

    Raises:
        Refused: a rule does not hold (clause `passkey`), or the count did not go up (clause `passkey-copied`).
    """

    def verify() -> int:
        found = webauthn.verify_authentication_response(
            credential=dict(answer),
            expected_challenge=challenge,
            expected_rp_id=host,
            expected_origin=sorted(origins),
            credential_public_key=key,
            credential_current_sign_count=0,  # rule 4 is kept below, and told apart
            require_user_verification=True,
        )
        return int(found.new_sign_count)

    new = _guarded(verify, _refused)
    if (new or count) and new <= count:
        raise Refused(
            "This passkey may have been copied.",
            "Its count did not go up since it was used last.",
            "Sign in another way and remove it; tell whoever runs this server.",
            clause="passkey-copied",
        )
    return new


def last_key() -> Refused:
    """The error for taking away the only way to sign in to an account."""
    return Refused(
        "This is the only way to sign in to this account.",
        "An account has a password or a passkey.",
        "Add another first.",
        clause="last-key",
    )


def _guarded(work: Callable[[], T], failed: Callable[[], CloisterError]) -> T:
    # The library has many kinds of errors, and its parsers of foreign bytes raise others besides (rule 6).
    try:
        return work()
    except CloisterError:
        raise
    except Exception:
        raise failed() from None


def _described(ids: Iterable[str]) -> list[PublicKeyCredentialDescriptor]:
    return [PublicKeyCredentialDescriptor(id=base64url_to_bytes(item)) for item in ids]


def _plain(options: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(webauthn.options_to_json(options))
    return found


def _unreadable() -> CloisterError:
    return BadInput("The browser's answer could not be read.", "", "Try again, or use another browser.")


def _refused() -> CloisterError:
    return Refused(
        "The passkey was not accepted.",
        "It is not one for this page, or it was not unlocked by PIN or finger.",
        "Try again, or sign in another way.",
        clause="passkey",
    )
