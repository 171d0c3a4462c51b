"""How Zenoh is set up, at the relay and at nodes: TLS with certificates on both sides, no discovery, default deny.

Rules:
1. Nothing is found by itself: no multicast, no gossip, no shared memory, TLS over TCP only.
2. Both sides show certificates of the hub's enrolment authority; the server's name is checked; a link ends with its
   certificate.
3. Keys are `net/<to>/from/<from>/<lane>`. A node, known by its certificate's common name, may answer only under
   `net/<itself>/**`, ask only as `net/*/from/<itself>/**`, and show only its own presence. All else is denied.
4. A node that does not read its link is cut off after a second instead of stopping the others (the carrier's default
   is five). Silence of `LEASE` seconds counts as gone.
5. Keys and certificates are passed in memory; nothing is written to disk for the carrier.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from cloister.foundation.errors import BadInput

_ENDPOINT = re.compile(r"(\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9.\-]{1,253}):([0-9]{1,5})")
LEASE = 6.0
MAX_MESSAGE = 4 << 20
RX_THREADS = 32
MENDING = 60_000
"""Milliseconds until Zenoh itself would connect a session again a second time; by then it has long been left."""


@dataclass(frozen=True)
class Credentials:
    """What one side of a link shows and checks. All PEM.

    Attributes:
        authority: the enrolment authority's certificate.
        certificate: this side's.
        key: its private key.
    """

    authority: bytes
    certificate: bytes
    key: bytes = field(repr=False)


def many_threads() -> None:
    """Gives the carrier enough receiving threads that one stalled link stops no other.

    Works only before the carrier is first used in this process; a setting of the operator's own is kept.
    """
    os.environ.setdefault("ZENOH_RUNTIME", f"(rx: (worker_threads: {RX_THREADS}))")


def check_endpoint(text: str) -> None:
    """Raises `BadInput` unless `text` is `host:port` (IPv6 addresses in brackets)."""
    match = _ENDPOINT.fullmatch(text)
    if match is None or not 0 < int(match[2]) < 65536:
        raise BadInput(
            "The relay's address is malformed.", "It has the form host:port.", "Copy it from the invitation."
        )


def call_key(to: str, sender: str, lane: str) -> str:
    """Where a request travels."""
    return f"net/{to}/from/{sender}/{lane}"


def presence_key(party: str) -> str:
    """The token by which a node shows that it is here."""
    return f"net/{party}/alive"


def client(endpoint: str, credentials: Credentials) -> dict[str, Any]:
    """Settings of a node's session. `endpoint` is `host:port` of the relay. Raises `BadInput` if it is not."""
    check_endpoint(endpoint)
    return {
        **_common(),
        "mode": "client",
        "listen/endpoints": [],
        "connect/endpoints": [f"tls/{endpoint}"],
        # One attempt to open, without waiting, and none to mend: both are the carrier's own business (`zenoh_links`).
        "connect/timeout_ms": 0,
        "connect/exit_on_failure": False,
        "connect/retry": {
            "period_init_ms": MENDING,
            "period_max_ms": MENDING,
            "period_increase_factor": 1.0,
        },
        "transport/link/tls": {
            **_tls(credentials),
            "connect_private_key_base64": _b64(credentials.key),
            "connect_certificate_base64": _b64(credentials.certificate),
        },
    }


def router(endpoints: Iterable[str], credentials: Credentials, parties: Iterable[str]) -> dict[str, Any]:
    """Settings of the relay. `endpoints` are `host:port` to listen on, `parties` those who may connect."""
    members = sorted(set(parties))
    return {
        **_common(),
        "mode": "router",
        "listen/endpoints": [f"tls/{endpoint}" for endpoint in endpoints],
        "connect/endpoints": [],
        "transport/link/tx/queue/congestion_control/block/wait_before_close": 1_000_000,
        "transport/link/tls": {
            **_tls(credentials),
            "listen_private_key_base64": _b64(credentials.key),
            "listen_certificate_base64": _b64(credentials.certificate),
        },
        "access_control": access(members),
    }


def access(parties: Iterable[str]) -> dict[str, Any]:
    """The relay's access rules: one policy for each party, everything else denied."""
    rules, subjects, policies = [], [], []
    alive = presence_key("*")
    for party in parties:
        own, asked = f"net/{party}/**", f"net/*/from/{party}/**"
        mine = (
            ("answer", ["ingress"], ["reply", "declare_queryable"], own),
            ("ask", ["ingress"], ["query"], asked),
            ("asked", ["egress"], ["query"], own),
            ("answered", ["egress"], ["reply", "declare_queryable"], asked),
            ("here", ["ingress"], ["liveliness_token"], presence_key(party)),
            ("who", ["ingress"], ["liveliness_query", "declare_liveliness_subscriber"], alive),
            ("told", ["egress"], ["liveliness_token"], alive),
        )
        names = [f"{party}-{name}" for name, *_ in mine]
        rules += [
            {"id": rule, "permission": "allow", "flows": flows, "messages": messages, "key_exprs": [key]}
            for rule, (_, flows, messages, key) in zip(names, mine, strict=True)
        ]
        subjects.append({"id": party, "cert_common_names": [party], "link_protocols": ["tls"]})
        policies.append({"id": party, "rules": names, "subjects": [party]})
    return {
        "enabled": True,
        "default_permission": "deny",
        "rules": rules or None,
        "subjects": subjects or None,
        "policies": policies or None,
    }


def configuration(settings: dict[str, Any]) -> Any:
    """The carrier's configuration object."""
    import zenoh

    config = zenoh.Config()
    for key, value in settings.items():
        config.insert_json5(key, json.dumps(value))
    return config


def _common() -> dict[str, Any]:
    return {
        "scouting/multicast/enabled": False,
        "scouting/gossip/enabled": False,
        "scouting/delay": 0,
        "transport/link/protocols": ["tls"],
        "transport/shared_memory/enabled": False,
        "transport/link/tx/lease": int(LEASE * 1000),
        "transport/link/rx/max_message_size": MAX_MESSAGE,
    }


def _tls(credentials: Credentials) -> dict[str, Any]:
    return {
        "root_ca_certificate_base64": _b64(credentials.authority),
        "enable_mtls": True,
        "verify_name_on_connect": True,
        "close_link_on_expiration": True,
    }


def _b64(pem: bytes) -> str:
    return base64.b64encode(pem).decode("ascii")
