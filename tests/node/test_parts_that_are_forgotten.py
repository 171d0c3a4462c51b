"""Parts of other parties' computations: what is counted, and what may be deleted (rules of `node.tasks.parts`)."""

from __future__ import annotations

import pytest

from cloister.foundation.canonical import parse
from cloister.foundation.digests import digest
from cloister.foundation.errors import CloisterError, Refused
from cloister.foundation.quotas import Quota
from cloister.node.peers.quotas import LIMITS
from cloister.node.tasks.parts import CONTENT, KIND
from cloister.storage.settings import Settings
from node.test_floods import NAMES, OTHER, propose, variant
from node.town import town

SIZE = 900 << 10
ROOM = 1 << 20


@pytest.fixture
def here(tmp_path):
    with town(tmp_path, names=NAMES) as made:
        made.agreement = made.ready(template="one-researcher-one-owner", quality=None)
        made["Ash"].quotas.limits = {
            **LIMITS,
            "plans": Quota(4, 64 << 20, 100, 3600),
            KIND: Quota(200, ROOM, 20, 10),
        }
        variant(made, OTHER, 0)
        made.answers = {}
        made[OTHER].link.transport.serve(CONTENT, lambda call: made.answers[str(parse(call.body)["content"])])
        made.fetched = []
        call = made["Ash"].tasks.admitting._parts._call

        def watched(to, method, *rest, **named):
            made.fetched.append(method)
            return call(to, method, *rest, **named)

        made["Ash"].tasks.admitting._parts._call = watched
        yield made


def with_part(here, name):
    computation = here.__dict__[f"plan_of_{OTHER}"].request.computation
    return computation.model_copy(update={"contents": {"model": name}}).model_dump(mode="json")


def offer(here, number, name, data, **request):
    """The other lab's plan of a computation whose part is `name`, for which it will give `data`."""
    here.answers[name] = data
    try:
        propose(here, OTHER, number, computation=with_part(here, name), **request)
    except CloisterError as error:
        return error
    return None


def counted(here):
    with here["Ash"].durable.database.read() as tx:
        usage = Settings(tx).get(f"quota/{KIND}/{here.party[OTHER]}") or {"held": {}}
    return {name: size for name, (size, _at) in usage["held"].items()}


def flood(here, first):
    for number in range(first, first + 9):
        with pytest.raises(Refused):
            propose(here, OTHER, number, purpose="Sell it")


def test_rule_3_a_plan_that_is_forgotten_takes_nothing_with_it_that_was_here_before(here):
    ash = here["Ash"]
    released = ash.contents.put(b"a model that was released here earlier")
    assert isinstance(offer(here, 1, released, b"", purpose="Sell it"), Refused)
    flood(here, 2)
    assert not ash.tasks.records.known(variant(here, OTHER, 2, purpose="Sell it").digest)
    assert ash.contents.has(released)


@pytest.mark.parametrize("kind", ["release", "candidate", "own"])
def test_rule_3_a_fetched_part_stays_once_something_else_is_made_of_it(here, kind):
    ash, data = here["Ash"], b"m" * 1000
    name = digest(data)
    offer(here, 1, name, data)
    assert ash.contents.has(name)
    with ash.durable.database.transaction() as tx:
        if kind == "candidate":
            Settings(tx).put("candidate/some-task", {"kind": "model", "content": name, "facts": {}})
        elif kind == "own":
            Settings(tx).put(f"model/{name}", {"parameters": 3, "own": True})
        else:
            from cloister.storage.releases import Release, Releases

            Releases(tx).put(Release(name, "some-task", "model", "released", {}))
    flood(here, 2)
    assert ash.contents.has(name)


def test_rule_3_a_fetched_part_goes_with_the_last_plan_that_needs_it(here):
    ash, data = here["Ash"], b"m" * 1000
    name = digest(data)
    ash.computations._check = lambda _request: None
    ash.tasks.admitting._ports.check.__self__._check = lambda _request: None
    assert offer(here, 1, name, data) is None
    assert offer(here, 2, name, data) is None
    assert here.fetched == [CONTENT]
    tasks = [variant(here, OTHER, n, computation=with_part(here, name)).digest for n in (1, 2)]
    ash.tasks.refuse(tasks[0], "No")
    flood(here, 10)
    assert ash.contents.has(name)  # the other plan still waits
    ash.tasks.refuse(tasks[1], "No")
    flood(here, 30)
    assert not ash.contents.has(name)
    assert counted(here) == {}


def test_rule_2_a_part_counts_with_its_own_size_whatever_came_before_it(here):
    """What is sent in its place first must not be what is counted."""
    ash = here["Ash"]
    ash.tasks.admitting._ports.check.__self__._check = lambda _request: None
    total = 0
    for number in range(4):
        real = bytes([number]) * SIZE
        name = digest(real)
        wrong = offer(here, 10 * number, name, b"x")
        assert isinstance(wrong, Refused)
        assert not ash.contents.has(name)
        assert name not in counted(here)
        offer(here, 10 * number + 1, name, real)
        total += SIZE if ash.contents.has(name) else 0
    assert 0 < total <= ROOM
    assert sum(counted(here).values()) == total


def test_rule_2_models_that_are_refused_make_room_and_leave_no_more_than_the_quota(here):
    """The check refuses each of them (they are no models): what lies here at any time is within the quota."""
    folder = here.root / "Ash" / "contents"
    for number in range(4):
        real = bytes([number]) * SIZE
        offer(here, 10 * number, digest(real), b"x")
        assert isinstance(offer(here, 10 * number + 1, digest(real), real), Refused)
        assert sum(path.stat().st_size for path in folder.iterdir()) <= ROOM
    assert sum(counted(here).values()) == SIZE


def test_rule_2_what_could_not_be_kept_is_not_counted(here, monkeypatch):
    ash, data = here["Ash"], b"m" * 1000

    def full(*_):
        raise CloisterError("The disk is full.")

    monkeypatch.setattr(ash.contents, "put", full)
    assert offer(here, 1, digest(data), data) is not None
    assert counted(here) == {}


def test_rule_1_nothing_is_asked_for_when_the_rate_is_used_up(here):
    """A sender that always gives something else is not asked for ever."""
    name = digest(b"never given")
    clauses = set()
    for number in range(30):
        here["Ash"].quotas.limits["plans"] = Quota(100, 64 << 20, 100, 3600)
        clauses.add(getattr(offer(here, number, name, b"x"), "clause", ""))
    assert "quota" in clauses
    assert len(here.fetched) <= 21


def test_rule_1_nothing_is_pulled_that_is_larger_than_all_that_the_requester_may_leave_here(
    here, monkeypatch
):
    ash, data = here["Ash"], bytes(ROOM + 1)
    pulled: list[object] = []
    monkeypatch.setattr(ash.link.transport._puller, "pull", lambda *args, **_: pulled.append(args))
    told = offer(here, 1, digest(data), data)
    assert told is not None
    assert "limit" in told.why
    assert here.fetched == [CONTENT]
    assert not pulled
    assert counted(here) == {}


def test_rule_4_what_lies_here_is_asked_for_like_what_does_not(here):
    """Whoever knows the digest of a candidate must neither learn that it lies here nor have it trained on."""
    ash = here["Ash"]
    ash.tasks.admitting._ports.check.__self__._check = lambda _request: None
    secret = b"a candidate that the gates refused"
    lies_here = ash.contents.put(secret)
    told = [offer(here, number, name, b"x") for number, name in enumerate([lies_here, digest(b"not here")])]
    assert here.fetched == [CONTENT, CONTENT]
    assert all(isinstance(item, Refused) for item in told)
    assert len({(item.what, item.why) for item in told}) == 1
    assert ash.contents.get(lies_here) == secret
    assert counted(here) == {}


def test_rule_4_whoever_has_it_gives_it_once_and_is_not_charged_for_what_was_here_before(here):
    ash = here["Ash"]
    ash.tasks.admitting._ports.check.__self__._check = lambda _request: None
    data = b"a model that many have"
    name = ash.contents.put(data)
    assert offer(here, 1, name, data) is None
    assert offer(here, 2, name, data) is None
    assert here.fetched == [CONTENT]
    assert counted(here) == {}
    ash.tasks.refuse(variant(here, OTHER, 1, computation=with_part(here, name)).digest, "No")
    ash.tasks.refuse(variant(here, OTHER, 2, computation=with_part(here, name)).digest, "No")
    flood(here, 10)
    assert ash.contents.has(name)  # rule 3: it was not fetched


def test_rule_4_a_part_that_was_deleted_has_to_be_given_again(here):
    ash, data = here["Ash"], b"m" * 1000
    name = digest(data)
    ash.tasks.admitting._ports.check.__self__._check = lambda _request: None
    assert offer(here, 1, name, data) is None
    ash.tasks.refuse(variant(here, OTHER, 1, computation=with_part(here, name)).digest, "No")
    flood(here, 10)
    assert not ash.contents.has(name)
    ash.contents.put(data)  # as a release, later
    assert isinstance(offer(here, 20, name, b"x"), Refused)
    assert here.fetched == [CONTENT, CONTENT]
