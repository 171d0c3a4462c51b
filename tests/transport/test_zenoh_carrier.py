"""What only the carrier through the hub has: sessions that heal, access rules, settings."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.foundation.errors import BadInput
from cloister.transport import zenoh as carrier_module
from cloister.transport.zenoh import ZenohCarrier
from cloister.transport.zenoh_settings import Credentials, access, client, router

PEM = Credentials(b"authority", b"certificate", b"key")


@pytest.mark.parametrize("lane", ["call", "blob"])
def test_a_session_that_became_unusable_is_made_anew(zenoh_net, book, monkeypatch, lane):
    monkeypatch.setattr(carrier_module, "PROBE", 0.3)
    zenoh_net.book, zenoh_net.opened = book, []
    try:
        anna, bert = zenoh_net.open("anna"), zenoh_net.open("bert")
        bert.serve("give", lambda call: bytes(1 << 20))
        bert.carrier._links._sessions[lane].close()
        assert anna.call(bert.party, "give", b"", deadline=40, answer=1 << 20) == bytes(1 << 20)
        anna.carrier._links._sessions[lane].close()
        assert anna.call(bert.party, "give", b"", deadline=40, answer=1 << 20) == bytes(1 << 20)
    finally:
        zenoh_net.close()


def test_an_address_that_is_none_is_refused():
    with pytest.raises(BadInput):
        ZenohCarrier("a" * 52, "not an address at all", PEM)


def test_nothing_is_found_by_itself_and_only_tls_is_spoken():
    for settings_of in (client("hub:7447", PEM), router(["0.0.0.0:7447"], PEM, ["a"])):
        assert settings_of["scouting/multicast/enabled"] is False
        assert settings_of["scouting/gossip/enabled"] is False
        assert settings_of["transport/shared_memory/enabled"] is False
        assert settings_of["transport/link/protocols"] == ["tls"]
        tls = settings_of["transport/link/tls"]
        assert tls["enable_mtls"]
        assert tls["verify_name_on_connect"]
        assert tls["close_link_on_expiration"]


def test_a_relay_without_parties_denies_everything():
    rules = access([])
    assert rules["enabled"]
    assert rules["default_permission"] == "deny"
    assert rules["rules"] is rules["policies"] is None


@settings(max_examples=40, deadline=None)
@given(st.sets(st.text("abcdefgh234567", min_size=3, max_size=8), min_size=1, max_size=6))
def test_each_party_speaks_only_in_its_own_name(parties):
    rules = access(sorted(parties))
    by_id = {rule["id"]: rule for rule in rules["rules"]}
    subjects = {subject["id"]: subject["cert_common_names"] for subject in rules["subjects"]}
    assert len(by_id) == 7 * len(parties)
    for policy in rules["policies"]:
        (party,) = subjects[policy["subjects"][0]]
        for name in policy["rules"]:
            rule = by_id[name]
            assert rule["permission"] == "allow"
            if "ingress" not in rule["flows"]:
                continue
            for key in rule["key_exprs"]:
                if rule["messages"] == ["liveliness_query", "declare_liveliness_subscriber"]:
                    assert key == "net/*/alive"
                elif rule["messages"] == ["query"]:
                    assert key == f"net/*/from/{party}/**"
                else:
                    assert key.startswith(f"net/{party}/")
