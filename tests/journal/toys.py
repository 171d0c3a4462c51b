"""Small programs to test the journal with: everybody sends a secret number to a coordinator, which adds them up."""

from __future__ import annotations

import json
from functools import partial

from cloister.journal.program import Candidate, Inbox, Local, Message, Phase, Program, Step

LEADER = "l" * 52
OWNERS = tuple(letter * 52 for letter in "abc")
SEATS = {"coordinator": (LEADER,), "owner": OWNERS}


def leader(rounds: int = 2, quorum: int = 3, size: int = 10, deadline: float = 60.0) -> Program:
    def ask(number: int, total: str) -> Step:
        body = json.dumps([number, total]).encode() + b" " * size
        sends = tuple(Message(owner, f"ask-{number}", body) for owner in OWNERS)
        return Step(total.encode() + b" " * size, f"collect-{number}", sends)

    def collect(number: int, local: Local, inbox: Inbox) -> Step:
        total = (
            local.state.decode().strip() + "|" + ",".join(f"{i.sender[0]}{i.body[:16].hex()}" for i in inbox)
        )
        local.report({"round": number, "answers": len(inbox)})
        if number < rounds:
            return ask(number + 1, total)
        return Step(
            b"",
            None,
            tuple(Message(owner, "finished", total.encode()) for owner in OWNERS),
            Candidate("total", total.encode(), {"rounds": rounds}),
        )

    phases = {"start": Phase({}, 0, deadline, lambda _local, _inbox: ask(1, "-"))}
    for number in range(1, rounds + 1):
        phases[f"collect-{number}"] = Phase(
            {f"answer-{number}": "owner"}, quorum, deadline, partial(collect, number)
        )
    return Program("start", phases)


def owner(rounds: int = 2, size: int = 10, deadline: float = 600.0, random: bool = True) -> Program:
    def answer(number: int, local: Local, inbox: Inbox) -> Step:
        secret = local.secret(f"number-{number}", 16) if random else f"{local.party[0]}{number}".encode()
        state = local.state + inbox[0].body.strip() + secret
        following = f"wait-{number + 1}" if number < rounds else "end"
        return Step(state, following, (Message(LEADER, f"answer-{number}", secret + b"." * size),))

    def end(local: Local, inbox: Inbox) -> Step:
        return Step(b"", None, (), Candidate("seen", local.state + inbox[0].body, {}))

    phases = {
        f"wait-{number}": Phase({f"ask-{number}": "coordinator"}, 1, deadline, partial(answer, number))
        for number in range(1, rounds + 1)
    }
    phases["end"] = Phase({"finished": "coordinator"}, 1, deadline, end)
    return Program("wait-1", phases)


def programs(rounds: int = 2, quorum: int = 3, size: int = 10, *, random: bool = True) -> dict[str, Program]:
    """Everybody's program."""
    return {
        LEADER: leader(rounds, quorum, size),
        **{party: owner(rounds, size, random=random) for party in OWNERS},
    }
