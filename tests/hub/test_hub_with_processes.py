"""What must hold when nodes and hub are processes that die, freeze, lie and come back."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hub_town import UNLOCK, Someone, Town, connected, enrolled, eventually

from cloister.foundation.errors import NotTrusted, Refused, Unreachable
from cloister.hub.server import create_hub
from cloister.identity import enrolment
from cloister.transport import envelope
from cloister.transport.carrier import NoReply
from cloister.transport.zenoh import ZenohCarrier
from cloister.transport.zenoh_settings import Credentials, client, configuration, presence_key

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def paired(town, people):
    """Anna in this process, Bert in his own, both known to be connected."""
    bert = town.start_node("bert")
    # On a busy machine it takes a while until what was killed has started again.
    anna = town.join("anna", patience=60.0)
    eventually(lambda: people["bert"].party in anna.here())
    return anna, bert


@pytest.fixture
def pair(town, people):
    """Of a town of its own, in which anything may be killed."""
    return paired(town, people)


@pytest.fixture(scope="module")
def calm(people, tmp_path_factory):
    """A town of all tests that leave everybody alive and enrol nobody but Carl; with Anna in it."""
    place = tmp_path_factory.mktemp("calm")
    create_hub(place / "hub", UNLOCK)
    town = Town(place / "hub", people, place)
    with contextlib.closing(town):
        yield town, paired(town, people)[0]


@pytest.fixture(scope="module")
def carls(calm, people):
    """Where the relay is and Carl's certificate for it."""
    town, _ = calm
    invitation = town.invitation()
    return invitation.relay, enrolled(people["carl"], invitation).credentials


def test_small_and_large_calls_pass_between_processes(calm, people):
    _, anna = calm
    to = people["bert"].party
    assert anna.call(to, "echo", b"abc", deadline=30) == b"abc"
    body = os.urandom(20 << 20)
    assert anna.call(to, "digest", body, deadline=60) == hashlib.sha256(body).digest()
    assert anna.call(to, "echo", body, deadline=60, answer=len(body)) == body
    with pytest.raises(Refused) as error:
        anna.call(to, "refuse", b"", deadline=30)
    assert error.value.clause == "for-the-test"


def test_a_pull_goes_on_after_the_hub_was_killed(town, pair, people):
    anna, _ = pair
    to, size = people["bert"].party, 96 << 20
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(anna.call, to, "give", str(size).encode(), deadline=120, answer=size)
        eventually(lambda: to in anna.traffic() and anna.traffic()[to].received_bytes > 6 << 20)
        town.hub.kill()
        assert not call.done()
        before = anna.traffic()[to].received_bytes
        town.start_hub()
        assert call.result() == random.Random(1).randbytes(size)
    # Chunks that were there are not asked for again: little more than the body has crossed.
    assert anna.traffic()[to].received_bytes < size * 1.2
    assert before < size


def test_a_call_survives_the_death_of_the_hub(town, pair, people):
    anna, _ = pair
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(anna.call, people["bert"].party, "slow", b"2", deadline=90)
        time.sleep(0.5)
        town.hub.kill()
        town.start_hub()
        assert call.result() == b"slept"


def test_a_killed_node_is_gone_and_its_call_is_answered_once_it_is_back(town, pair, people):
    anna, bert = pair
    to = people["bert"].party
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(anna.call, to, "slow", b"3", deadline=90)
        time.sleep(0.5)
        bert.kill()
        eventually(lambda: to not in anna.here())
        town.start_node("bert")
        assert call.result() == b"slept"
    eventually(lambda: to in anna.here())


def test_hub_and_node_killed_together_come_back(town, pair, people):
    anna, bert = pair
    to = people["bert"].party
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(anna.call, to, "slow", b"2", deadline=120)
        time.sleep(0.5)
        bert.kill()
        town.hub.kill()
        town.start_hub()
        town.start_node("bert")
        assert call.result() == b"slept"


def test_a_frozen_node_does_not_stop_the_others(town, pair, people):
    anna, bert = pair
    town.start_node("carl")
    to, other = people["bert"].party, people["carl"].party
    eventually(lambda: other in anna.here())
    bert.signal(signal.SIGSTOP)
    with ThreadPoolExecutor(8) as pool:
        frozen = [
            pool.submit(anna.call, to, "echo", os.urandom(size), deadline=25)
            for size in (250_000,) * 6 + (4 << 20,) * 2
        ]
        for _ in range(20):
            assert anna.call(other, "echo", b"quick", deadline=20) == b"quick"
        assert anna.call(other, "echo", bytes(4 << 20), deadline=20, answer=4 << 20) == bytes(4 << 20)
        eventually(lambda: to not in anna.here())
        for call in frozen:
            with pytest.raises(Unreachable):
                call.result()
    bert.signal(signal.SIGCONT)
    eventually(lambda: to in anna.here())
    assert anna.call(to, "echo", b"back", deadline=60) == b"back"


def test_a_certificate_of_another_authority_gets_nothing_through(calm, people):
    town, _ = calm
    now = int(time.time())
    dora = people["dora"]
    invitation = town.invitation()
    own = enrolment.create_authority(now)
    key, csr = enrolment.make_csr(dora.party)
    asked = enrolment.request(dora.party, dora.keys, csr, own.certificate, now)

    class Alone:
        def keys(self, party, keyset):
            return dora.keys.public

    forged = enrolment.issue(own, csr, asked, Alone(), now)
    carrier = ZenohCarrier(
        dora.party, invitation.relay, Credentials(invitation.authority.encode(), forged, key)
    )
    try:
        with pytest.raises(NoReply):
            carrier.exchange(people["bert"].party, "call", b"x", 5.0)
    finally:
        carrier.close()


def test_a_dropped_party_is_cut_off(town, pair, people):
    anna, _ = pair
    dora = town.join("dora", patience=2.0)
    to = people["bert"].party
    assert dora.call(to, "echo", b"x", deadline=30) == b"x"
    town.hub.tell(people["dora"].party)
    eventually(lambda: people["dora"].party not in anna.here())
    with pytest.raises(Unreachable):
        dora.call(to, "echo", b"x", deadline=8)
    assert anna.call(to, "echo", b"x", deadline=30) == b"x"


def ask_raw(session, key: str) -> list[bytes]:
    """What comes back to a bare question of the carrier's."""
    import zenoh

    replies = session.get(key, payload=b"x", timeout=3.0, allowed_destination=zenoh.Locality.REMOTE)
    return [reply.ok.payload.to_bytes() for reply in replies if reply.ok]


def session_that_reaches(key: str, settings):
    """A bare session by which `key` is answered: one from before the relay let its party in is lost, and stays so."""
    import zenoh

    found = []

    def tried() -> bool:
        with contextlib.suppress(zenoh.ZError):
            session = zenoh.open(configuration(settings))
            if ask_raw(session, key):
                found.append(session)
            else:
                session.close()
        return bool(found)

    eventually(tried)
    return found[0]


def test_a_node_can_neither_serve_nor_ask_under_another_name(calm, people, carls):
    """Carl, enrolled, goes around the transport and speaks to the relay directly."""
    _, anna = calm
    bert, carl = people["bert"].party, people["carl"].party
    relay, credentials = carls
    # Under its own name it reaches Bert (who does not understand it), so the relay does let it talk.
    session = session_that_reaches(f"net/{bert}/from/{carl}/call", client(relay, credentials))
    try:
        seen: list[str] = []

        def hear(query):
            seen.append(str(query.key_expr))
            query.reply(query.key_expr, b"forged")

        kept = [
            session.declare_queryable(key, hear)
            for key in (f"net/{bert}/from/*/call", f"net/{bert}/**", "net/**", "**")
        ]
        kept.append(session.liveliness().declare_token(presence_key(people["dora"].party)))
        mine = session.declare_queryable(
            f"net/{carl}/from/*/call", lambda query: query.reply(query.key_expr, b"mine")
        )

        for key in (f"net/{bert}/from/{anna.party}/call", f"net/{bert}/**", "net/*/**", "**", "@/**"):
            assert ask_raw(session, key) == []
        for number in range(5):
            assert anna.call(bert, "echo", str(number).encode(), deadline=30) == str(number).encode()
        assert seen == []
        assert people["dora"].party not in anna.here()
        del kept, mine
    finally:
        session.close()


@pytest.fixture
def carl_raw(carls, people):
    """Carl's carrier without a messenger: what somebody can send who is enrolled and writes frames by hand."""
    with contextlib.closing(ZenohCarrier(people["carl"].party, *carls)) as carrier:
        yield carrier


def counted(town) -> list[str]:
    """The keys of the calls that Bert's node has counted, in order."""
    runs = town.tmp / "bert.runs"
    return runs.read_text().splitlines() if runs.exists() else []


def sent(carrier, to: str, frame: bytes) -> bytes:
    """The reply, once the connection is there."""
    until = time.monotonic() + 30
    while True:
        try:
            return carrier.exchange(to, "call", frame, 5.0)
        except NoReply:
            assert time.monotonic() < until
            time.sleep(0.1)


def frame(people, sender: str, keys: str, method: str = "count", key: str = "k", **fields) -> bytes:
    class Everybody:
        directory = None

        def keys_for(self, party):
            return people["bert"].keys.public

    return envelope.pack(
        sender=people[sender].party,
        keys=people[keys].keys,
        recipient=people["bert"].party,
        peers=Everybody(),
        method=method,
        key=key,
        body=b"",
        deadline=int(time.time()) + 60,
        **fields,
    )[1]


def test_a_forged_sender_is_refused_at_the_node(calm, people, carl_raw):
    town, _ = calm
    to, before = people["bert"].party, counted(town)
    for sender, keys in (("anna", "carl"), ("anna", "anna"), ("carl", "anna")):
        reply = sent(carl_raw, to, frame(people, sender, keys))
        assert reply == b"CLP1not-trusted"
    assert counted(town) == before


def test_a_replayed_message_runs_once(calm, people, carl_raw):
    town, _ = calm
    to, before = people["bert"].party, counted(town)
    message = frame(people, "carl", "carl", key="once")
    replies = [sent(carl_raw, to, message) for _ in range(3)]
    assert all(reply.startswith(b"CLM1") for reply in replies)
    assert counted(town) == [*before, "once"]


def test_a_message_over_the_limit_is_refused_and_the_node_goes_on(calm, people, carl_raw):
    _, anna = calm
    to = people["bert"].party
    assert sent(carl_raw, to, b"CLM1" + bytes(2 << 20)) == b"CLP1bad-input"
    with pytest.raises(NoReply):
        carl_raw.exchange(to, "call", bytes(8 << 20), 3.0)
    assert anna.call(to, "echo", b"still", deadline=60) == b"still"


def test_a_call_to_an_unknown_recipient_never_leaves(calm):
    _, anna = calm
    with pytest.raises(NotTrusted):
        anna.call("a" * 52, "echo", b"", deadline=5)


def test_enrolling_a_party_does_not_lose_the_calls_of_others(town, pair, people):
    """Admitting Dora opens the router again while Anna talks to Bert."""
    anna, _ = pair
    to = people["bert"].party
    ended, failures, answered = threading.Event(), [], []

    def talk():
        while not ended.is_set():
            try:
                answered.append(anna.call(to, "echo", b"x", deadline=40))
            except Exception as error:
                failures.append(error)
                return

    with ThreadPoolExecutor(1) as pool:
        pool.submit(talk)
        eventually(lambda: len(answered) > 5)
        dora = town.join("dora")
        assert dora.call(to, "echo", b"new", deadline=40) == b"new"
        already = len(answered)
        eventually(lambda: len(answered) > already + 5 or failures)
        ended.set()
    assert failures == []


def test_thirty_nodes_call_each_other(hub, opened):
    """Through one relay, in one process: every node calls the next, all at once, with a small and a large body."""
    crowd = [Someone(f"node {number}") for number in range(30)]
    invitation = hub.invite()
    credentials = [enrolled(someone, hub.invite()) for someone in crowd]
    members = [
        opened(connected(someone, invitation, got, crowd))
        for someone, got in zip(crowd, credentials, strict=True)
    ]
    for member in members:
        member.serve("echo", lambda call: call.body)
    everybody = {someone.party for someone in crowd}
    eventually(lambda: all(everybody <= member.here() for member in members), 60)
    large = os.urandom(1 << 20)

    def talk(number: int) -> bool:
        me, to = members[number], crowd[(number + 1) % len(crowd)].party
        return all(
            me.call(to, "echo", body, deadline=100, answer=len(body)) == body for body in (b"small", large)
        )

    with ThreadPoolExecutor(10) as pool:
        assert all(pool.map(talk, range(len(crowd))))
