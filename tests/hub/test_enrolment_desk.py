"""Invitations, codes and certificates, through the real HTTPS service."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from hub_town import UNLOCK, Someone, enrolled, eventually, joined

from cloister.foundation.errors import BadInput, Conflict, NotFound, NotTrusted, Refused, Unreachable
from cloister.hub import router, server
from cloister.hub.app import MAX_REQUEST
from cloister.hub.authority import EnrolmentDesk
from cloister.hub.server import Hub, create_hub
from cloister.identity import cards, enrolment
from cloister.identity.keys import SecretKeys
from cloister.identity.keystore import Cost, Passphrase, SystemKeyring, read_recovery
from cloister.transport import zenoh as carrier_module
from cloister.transport.hub_client import HubClient
from cloister.transport.invitation import Invitation


def test_a_party_with_an_invitation_gets_a_certificate_in_its_name(hub, people):
    got = enrolled(people["anna"], hub.invite())
    assert enrolment.common_name(got.credentials.certificate) == people["anna"].party
    assert cards.read(got.hub_cards[0]).party == hub.party


def test_an_invitation_enrols_one_party_and_that_one_again(hub, people):
    invitation = hub.invite()
    enrolled(people["anna"], invitation)
    enrolled(people["anna"], invitation)
    with pytest.raises(Refused) as error:
        enrolled(people["bert"], invitation)
    assert error.value.clause == "invitation"


def test_a_made_up_code_is_refused(hub, people):
    invitation = hub.invite()
    name, expires, tag = invitation.code.split(".")
    for code in (
        "0" * 32,
        f"{'0' * 32}.{expires}.{tag}",
        f"{name}.{int(expires) + 1}.{tag}",
        f"{name}.{expires}.x",
    ):
        with pytest.raises(Refused):
            enrolled(people["anna"], invitation.model_copy(update={"code": code}))


def test_an_expired_invitation_is_refused(hub, people):
    with pytest.raises(Refused):
        enrolled(people["anna"], hub.invite(lifetime=-1))


def test_a_request_signed_by_others_is_refused(hub, people):
    forger = Someone("forger")
    forger.card, forger.party, forger.chain = people["anna"].card, people["anna"].party, people["anna"].chain
    with pytest.raises(NotTrusted):
        enrolled(forger, hub.invite())
    assert people["anna"].party not in hub.members.permitted()


def test_an_enrolled_party_renews_without_a_code(hub, people):
    invitation = hub.invite()
    first = enrolled(people["anna"], invitation)
    second = enrolled(people["anna"], invitation.model_copy(update={"code": "0" * 32}))
    assert first.credentials.certificate != second.credentials.certificate


def test_a_dropped_party_needs_a_new_invitation(hub, people):
    invitation = hub.invite()
    enrolled(people["anna"], invitation)
    hub.drop(people["anna"].party)
    with pytest.raises(Refused):
        enrolled(people["anna"], invitation.model_copy(update={"code": "0" * 32}))
    # Its old code was meant for the party that came, not for the one that was sent away.
    with pytest.raises(Refused) as error:
        enrolled(people["anna"], invitation)
    assert error.value.clause == "invitation"
    enrolled(people["anna"], hub.invite())


def test_a_code_that_two_parties_bring_at_once_enrols_one(hub, people, monkeypatch):
    """Both are told that the code is free before either is noted as its user."""
    invitation = hub.invite()
    met = threading.Barrier(2)
    check = EnrolmentDesk._check

    def slow(desk, code, party):
        found = check(desk, code, party)
        met.wait(10)
        return found

    monkeypatch.setattr(EnrolmentDesk, "_check", slow)
    with ThreadPoolExecutor(2) as pool:
        tried = [pool.submit(enrolled, people[name], invitation) for name in ("anna", "bert")]
        refused = [item.exception() for item in tried if item.exception() is not None]
    assert [type(error) for error in refused] == [Refused]
    assert len({people["anna"].party, people["bert"].party} & hub.members.permitted()) == 1


def test_a_revoked_party_gets_nothing(hub):
    someone = Someone("ends")
    someone.chain.append(cards.revoke(cards.read(someone.card), int(time.time()), current=someone.keys))
    with pytest.raises(NotTrusted):
        enrolled(someone, hub.invite())


def test_a_hub_with_another_authority_is_not_talked_to(hub, people):
    other = enrolment.create_authority(int(time.time()))
    invitation = hub.invite().model_copy(update={"authority": other.certificate.decode()})
    with pytest.raises(NotTrusted) as error:
        enrolled(people["anna"], invitation)
    assert error.value.clause == "hub-certificate"


def test_a_hub_that_is_not_there_is_unreachable(hub, people):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(Unreachable):
        enrolled(people["anna"], hub.invite().model_copy(update={"enrol": f"127.0.0.1:{port}"}))


@pytest.fixture
def https(hub):
    invitation = hub.invite()
    context = ssl.create_default_context(cadata=invitation.authority)
    with httpx.Client(
        verify=context, base_url=f"https://{invitation.enrol}", trust_env=False, timeout=20
    ) as client:
        yield client


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/enrol"),
        ("POST", "/"),
        ("GET", "/docs"),
        ("GET", "/openapi.json"),
        ("PUT", "/enrol"),
    ],
)
def test_every_other_route_does_not_exist(https, method, path):
    reply = https.request(method, path)
    assert reply.status_code in {404, 405}
    assert reply.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'{"code":"x"}', b'{"cards":[],"code":"x","csr":"x","request":{}}', b"[" * 5000],
)
def test_malformed_requests_get_a_problem_document(https, body):
    reply = https.post("/enrol", content=body, headers={"content-type": "application/json"})
    assert reply.status_code == 422
    assert reply.json()["type"] == "urn:cloister:problem:bad-input"


def test_a_request_over_the_limit_or_of_another_type_is_refused(https):
    large = https.post(
        "/enrol", content=b" " * (MAX_REQUEST + 1), headers={"content-type": "application/json"}
    )
    assert large.status_code == 422
    assert https.post("/enrol", data={"code": "x"}).status_code == 422


def test_only_tls_1_3_is_spoken(hub):
    invitation = hub.invite()
    context = ssl.create_default_context(cadata=invitation.authority)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    host, _, port = invitation.enrol.rpartition(":")
    with (
        socket.create_connection((host, int(port)), timeout=10) as plain,
        pytest.raises(ssl.SSLError),
        context.wrap_socket(plain, server_hostname=host),
    ):
        pass


def test_an_invitation_reads_as_it_was_written_and_nothing_else_does(hub):
    invitation = hub.invite()
    text = invitation.encode()
    assert Invitation.decode(text) == invitation
    assert Invitation.decode(f"  {text[:60]}\n{text[60:]}\n") == invitation
    for wrong in ("", "x", text[:-10], text.replace("cloister", "cloistar", 1), text + "AAAA", "x" * 100_000):
        with pytest.raises(BadInput):
            Invitation.decode(wrong)
    assert invitation.code not in repr(invitation)


def test_a_free_port_that_another_program_takes_meanwhile_is_given_up_for_another(folder, monkeypatch):
    """Looking for a free port and opening it are two steps; whoever asked for none in particular does not notice."""
    real, first = router.free_port, []

    def slow(host, port):
        if first:
            return real(host, port)
        first.append(taken.getsockname()[1])
        return first[0]

    monkeypatch.setattr(router, "free_port", slow)
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        Hub(folder, UNLOCK, host="127.0.0.1", port=0, enrol_port=0, names=["127.0.0.1"]) as hub,
    ):
        assert hub.status().relay.port not in {0, *first}
        assert first


def test_a_port_in_use_is_told_and_nothing_is_left_open(folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for ports in ({"port": port, "enrol_port": 0}, {"port": 0, "enrol_port": port}):
            with pytest.raises(Conflict) as error:
                Hub(folder, UNLOCK, host="127.0.0.1", **ports).start()
            assert error.value.detail["port"] == port
    with Hub(folder, UNLOCK, host="127.0.0.1", port=0, enrol_port=0):
        pass


def test_two_hubs_in_one_folder_are_refused(hub, folder):
    with pytest.raises(Conflict):
        Hub(folder, UNLOCK)
    with pytest.raises(Conflict):
        create_hub(folder, UNLOCK)


def test_a_folder_that_others_may_enter_is_refused_and_left_as_it_is(tmp_path):
    open_folder = tmp_path / "open"
    open_folder.mkdir(mode=0o755)
    with pytest.raises(Refused) as error:
        create_hub(open_folder, UNLOCK)
    assert error.value.clause == "folder-private"
    assert "chmod 700" in error.value.remedy
    assert list(open_folder.iterdir()) == []
    assert open_folder.stat().st_mode & 0o777 == 0o755


def test_recovery_keys_have_an_opener_of_their_own_and_never_the_keyring(tmp_path):
    with pytest.raises(Refused) as error:
        create_hub(tmp_path / "ring", SystemKeyring())
    assert error.value.clause == "recovery-apart"
    assert not (tmp_path / "ring").exists()
    other = Passphrase(b"another passphrase altogether", Cost(1, 1, 64))
    create_hub(tmp_path / "hub", UNLOCK, other)
    assert read_recovery(tmp_path / "hub" / "recovery.sealed", other)
    with pytest.raises(NotTrusted):
        read_recovery(tmp_path / "hub" / "recovery.sealed", UNLOCK)


def test_a_folder_without_a_hub_is_told(tmp_path):
    with pytest.raises(NotFound):
        Hub(tmp_path, UNLOCK)


def test_secrets_lie_in_the_folder_only_encrypted(folder):
    with Hub(folder, UNLOCK, host="127.0.0.1", port=0, enrol_port=0) as hub:
        secrets = (hub._keys.encode()[:32], b"PRIVATE KEY")
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert not any(secret in data for secret in secrets), path.name


def test_a_restarted_hub_has_the_same_ports_parties_and_documents(folder, people, opened):
    with Hub(folder, UNLOCK, host="127.0.0.1", port=0, enrol_port=0, names=["127.0.0.1"]) as hub:
        before = hub.invite()
        transport = opened(joined(people["anna"], before, []))
        HubClient(transport, hub.party).publish(people["anna"].card)
    with Hub(folder, UNLOCK, host="127.0.0.1", port=0, enrol_port=0, names=["127.0.0.1"]) as hub:
        after = hub.invite()
        assert (after.relay, after.enrol) == (before.relay, before.enrol)
        client = HubClient(transport, hub.party)
        assert [item.number for item in client.documents()] == [0]
        assert client.cards(people["anna"].party)[0][0] == people["anna"].card


def test_certificates_are_renewed_while_everything_runs(hub, people, opened):
    everybody = list(people.values())
    anna = opened(joined(people["anna"], hub.invite(), everybody))
    bert = opened(joined(people["bert"], hub.invite(), everybody))
    bert.serve("echo", lambda call: call.body)
    assert anna.call(bert.party, "echo", b"1", deadline=30) == b"1"
    bert.carrier.renew(enrolled(people["bert"], hub.invite()).credentials)
    assert anna.call(bert.party, "echo", b"2", deadline=30) == b"2"
    eventually(lambda: bert.party in anna.here())
    anna.carrier.renew(enrolled(people["anna"], hub.invite()).credentials)
    hub.renew()
    assert anna.call(bert.party, "echo", b"3", deadline=30) == b"3"
    assert anna.call(bert.party, "echo", bytes(1 << 20), deadline=30, answer=1 << 20) == bytes(1 << 20)
    eventually(lambda: bert.party in anna.here() and anna.party in bert.here())


def test_a_relay_that_does_not_answer_is_opened_again(hub, people, opened, monkeypatch):
    monkeypatch.setattr(server, "UNWELL", 0.5)
    monkeypatch.setattr(carrier_module, "PROBE", 0.3)
    anna = opened(joined(people["anna"], hub.invite(), []))
    client = HubClient(anna, hub.party, deadline=60)
    assert client.head()
    hub.heal()
    assert hub.status().relay.restarts <= 1
    before = hub.status().relay.restarts
    eventually(lambda: hub._carrier.trouble == "")
    hub._router._session.close()

    def healed() -> bool:
        hub.heal()
        return hub.status().relay.restarts > before

    eventually(healed)
    assert client.head()


def test_a_node_that_starts_before_its_hub_connects_when_it_comes(folder, people, opened):
    with Hub(folder, UNLOCK, host="127.0.0.1", port=0, enrol_port=0, names=["127.0.0.1"]) as hub:
        invitation = hub.invite()
        first = joined(people["anna"], invitation, [])
        first.close()
        credentials = enrolled(people["anna"], invitation)
    from hub_town import Known

    from cloister.transport.zenoh import connect

    known = Known()
    known.accept(*credentials.hub_cards)
    known.accept(people["anna"].card)
    anna = opened(
        connect(
            people["anna"].party,
            people["anna"].keys,
            known,
            endpoint=invitation.relay,
            credentials=credentials.credentials,
        )
    )
    with pytest.raises(Unreachable):
        HubClient(anna, invitation.hub, deadline=1).head()
    assert anna.carrier.trouble
    with Hub(folder, UNLOCK, host="127.0.0.1", port=0, enrol_port=0, names=["127.0.0.1"]):
        assert HubClient(anna, invitation.hub, deadline=30).head()
        assert anna.carrier.trouble == ""


def test_keys_do_not_show_in_representations(hub, people):
    got = enrolled(people["anna"], hub.invite())
    assert "PRIVATE" not in repr(got)
    assert isinstance(people["anna"].keys, SecretKeys)
