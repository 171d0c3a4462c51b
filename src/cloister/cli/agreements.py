"""`cloister agreement`: written from a template, read in plain words, signed, stopped."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cloister.cli.common import Number, client, decimal_point, folder_option, short, soon, table, wait_option
from cloister.cli.output import Answer, command, confirm, say
from cloister.foundation.canonical import parse
from cloister.foundation.errors import BadInput, CloisterError, NotFound
from cloister.foundation.files import read_limited, write_atomically

if TYPE_CHECKING:
    from cloister.agreements.terms import Terms
    from cloister.sdk.client import Client

TEMPLATES = (
    "factories-and-lab",
    "banks",
    "retailers",
    "clinic-and-lab",
    "vendor-scoring",
    "one-researcher-one-owner",
)


@click.group("agreement")
def agreement_group() -> None:
    """Who may do what with whose data: your server enforces exactly what stands here."""


@command(agreement_group, "new")
@click.option("--template", type=click.Choice(TEMPLATES), default=TEMPLATES[0], show_default=True)
@click.option("--title", required=True, help="For people.")
@click.option(
    "--owner", "owners", multiple=True, metavar="PARTY=DATASET", help="Who brings which dataset; repeat."
)
@click.option("--researcher", "researchers", multiple=True, metavar="PARTY", help="Who may ask; repeat.")
@click.option("--user", "users", multiple=True, metavar="PARTY", help="Who also receives results; repeat.")
@click.option("--witness", "witnesses", multiple=True, metavar="PARTY", help="Independent witnesses; repeat.")
@click.option("--purpose", "purposes", multiple=True, required=True, help="What it is for; repeat.")
@click.option("--days", default=365, show_default=True, help="How long it holds.")
@click.option("--quality", metavar="METRIC=MINIMUM", help="What each owner's own check data must show.")
@click.option(
    "--epsilon",
    type=Number(min=0, min_open=True, max=1000),
    default=None,
    help="Privacy that may be spent of each owner's dataset; no noise is asked for if absent.",
)
@click.option(
    "--delta",
    type=Number(min=0, max=1, max_open=True),
    default=1e-6,
    show_default=True,
    help="With --epsilon: how much the guarantee may fail; well below one in the number of records.",
)
@click.option(
    "--unit",
    default="record",
    show_default=True,
    help="With --epsilon: what is protected by itself, as the datasets count it: record, image, or a column's name.",
)
@click.option(
    "--owners-per-unit",
    type=click.IntRange(min=1, max=50),
    default=None,
    help="With --epsilon: at how many owners one unit may be; 1 states that nobody has another's. At all if absent.",
)
@click.option(
    "--dropouts",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="How many owners may drop out of a task that still gives a result.",
)
@click.option(
    "--residency", multiple=True, metavar="CC", help="Countries where the data must be kept; repeat."
)
@click.option(
    "--sensitivity",
    type=click.Choice(("public", "internal", "confidential", "personal")),
    default=None,
    help="Nothing more sensitive may be used; confidential, or the template's own, if absent.",
)
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="Where to write it."
)
@folder_option
def new(folder: Path, out: Path, **given: Any) -> Answer:
    """Write an agreement from a template; PARTY is a name or fingerprint that your server knows. Nothing is sent."""
    from cloister.agreements.templates import new_from_template
    from cloister.data.countries import country
    from cloister.foundation.canonical import canonical
    from cloister.foundation.clock import rfc3339
    from cloister.node.protections import installed
    from cloister.planner.satisfiable import unmet

    with client(folder) as node:
        known = node.get("/parties")

    def party(name: str) -> dict[str, str]:
        return _party(known, name)

    inputs: dict[str, Any] = {
        "title": given["title"],
        "owners": [],
        "researchers": [party(item) for item in given["researchers"]],
        "users": [party(item) for item in given["users"]],
        "witnesses": [party(item) for item in given["witnesses"]],
        "purposes": list(given["purposes"]),
        "starts": rfc3339(int(time.time()) - 60),
        "days": given["days"],
        "residency": [country(item) for item in given["residency"]],
        "dropouts": given["dropouts"],
        "sensitivity": given["sensitivity"],
    }
    if given["epsilon"] is not None:
        inputs["epsilon"] = given["epsilon"]
    inputs |= {
        "delta": given["delta"],
        "unit": given["unit"],
        "owners_per_unit": given["owners_per_unit"],
    }
    for item in given["owners"]:
        name, sign, dataset = item.rpartition("=")
        if not sign:
            raise BadInput(
                "An owner needs its dataset.", f"{item[:80]} has no =.", "Write --owner PARTY=DATASET."
            )
        inputs["owners"].append({**party(name), "dataset": dataset})
    if given["quality"]:
        metric, _, minimum = given["quality"].partition("=")
        inputs["quality"] = {"metric": metric, "minimum": _number(minimum)}
    terms = new_from_template(given["template"], inputs)
    write_atomically(out, canonical(terms.to_odrl()))
    warnings = [dataclasses.asdict(item) for item in unmet(terms, installed())]
    lines = [
        f"Warning: nothing installed here can do any {item['kind']} under these terms (clause {item['clause']})."
        f" {item['reason']} {item['remedy']}\n"
        for item in warnings
    ]
    return Answer(
        {"file": str(out), "agreement": terms.digest, "terms": terms.to_odrl(), "warnings": warnings},
        "".join(lines) + f"Written to {out}. Nothing is sent.\n"
        f"Read it with: cloister agreement show {out}\nOffer it with: cloister agreement propose {out}",
    )


@command(agreement_group, "propose")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@folder_option
def propose(file: Path, folder: Path) -> Answer:
    """Sign the agreement in FILE for your organisation and offer it to the others."""
    document = _terms(file).to_odrl()
    with client(folder) as node:
        told = node.post("/agreements", {"terms": document})
    return Answer(
        told,
        "\n".join(
            [f"Signed and offered: {short(told['agreement'])} “{told['title']}”.", *told.get("budgets", [])]
        ),
    )


@command(agreement_group, "list")
@folder_option
def listing(folder: Path) -> Answer:
    """The agreements that your organisation is in."""
    with client(folder) as node:
        told = node.get("/agreements")
    rows = [
        [
            short(item["agreement"]),
            item["title"],
            _state(item),
            f"{sum(party['signed'] for party in item['parties'])} of {len(item['parties'])}",
            item["valid_until"],
        ]
        for item in told
    ]
    return Answer(told, table(["Agreement", "Title", "State", "Signed", "Until"], rows))


@command(agreement_group, "show")
@click.argument("agreement")
@wait_option
@folder_option
def show(agreement: str, folder: Path, wait: int) -> Answer:
    """What AGREEMENT (a digest, or a file written by `new`) says, in plain words beside its clauses' names."""
    path = Path(agreement)
    if path.is_file():
        from cloister.agreements.words import describe

        terms = _terms(path)
        return Answer({"terms": terms.to_odrl(), "agreement": terms.digest}, describe(terms))
    with client(folder) as node:
        told = node.get(f"/agreements/{find_agreement(node, agreement, wait)}")
    signed = "\n".join(
        f"  {party['name']}: {'signed' if party['signed'] else 'not signed yet'}"
        f"{'' if party['trusted'] else ' (you have not compared its fingerprint)'}"
        for party in told["parties"]
    )
    return Answer(told, f"{told['text']}\n\nState: {_state(told)}\n{signed}\nAgreement {told['agreement']}")


@command(agreement_group, "sign")
@click.argument("agreement")
@wait_option
@folder_option
@click.option("--yes", is_flag=True, help="Do not ask; you have read it.")
def sign(agreement: str, folder: Path, yes: bool, wait: int) -> Answer:
    """Sign AGREEMENT (a digest, or the file of the terms that you have read) for your organisation, after showing it."""
    with client(folder) as node:
        digest = find_agreement(node, agreement, wait)
        if not yes:
            say(node.get(f"/agreements/{digest}")["text"])
            confirm("Sign this for your organisation?")
        signed = node.post(f"/agreements/{digest}/sign")
        told = {**_settled(node, signed), "budgets": signed.get("budgets", [])}
    missing = [party["name"] for party in told["parties"] if not party["signed"]]
    rest = f"Not signed yet by: {', '.join(missing)}." if missing else "Every party has signed."
    return Answer(told, "\n".join([f"Signed. {rest} State: {_state(told)}.", *told.get("budgets", [])]))


def _settled(node: Client, told: dict[str, Any]) -> dict[str, Any]:
    """The agreement read again for a moment: signatures and the nodes' confirmations may be on their way."""
    end = time.monotonic() + _MOMENT
    while not _at_rest(told["state"]) and time.monotonic() < end:
        time.sleep(0.25)
        told = node.get(f"/agreements/{told['agreement']}")
    return told


_MOMENT = 2.0


@command(agreement_group, "watch")
@click.argument("agreement")
@click.option(
    "--seconds", type=click.IntRange(min=1), default=600, show_default=True, help="How long to watch at most."
)
@folder_option
def watch(agreement: str, seconds: int, folder: Path) -> Answer:
    """Wait until AGREEMENT is in force; exit code 3 if it ended instead, 4 if signatures are still missing."""
    end = time.monotonic() + seconds
    with client(folder) as node:
        digest = find_agreement(node, agreement, seconds)
        while True:
            told = node.get(f"/agreements/{digest}")
            if _at_rest(told["state"]) or time.monotonic() > end:
                break
            time.sleep(0.5)
    missing = ", ".join(party["name"] for party in told["parties"] if not party["signed"])
    code = 0 if told["state"] == "finalized" else 3 if _at_rest(told["state"]) else 4
    words = f"The agreement is {_state(told)}." + (f" Not signed yet by: {missing}." if missing else "")
    return Answer(told, words, exit_code=code)


def _at_rest(state: str) -> bool:
    """Whether an agreement moves on only if people want it to."""
    from cloister.agreements.lifecycle import ENDED, State

    return state in ENDED | {State.FINALIZED, State.SUSPENDED}


def _mover(name: str, to: str, help_text: str) -> None:
    @command(agreement_group, name)
    @click.argument("agreement")
    @click.option("--reason", default=None, help="Shown to the others.")
    @folder_option
    def move(agreement: str, reason: str | None, folder: Path) -> Answer:
        with client(folder) as node:
            told = node.post(
                f"/agreements/{find_agreement(node, agreement)}/state", {"to": to, "reason": reason}
            )
        if told.get("waiting"):
            return Answer(
                told, "It stays suspended until a second person has confirmed it on the page of this server."
            )
        after = _AFTER[to] if told["state"] == to else ""
        return Answer(told, f"The agreement is {_state(told)}{after or '.'}")

    move.help = help_text


_AFTER = {
    "suspended": ". Its running tasks stop until you resume it.",
    "finalized": " again.",
    "revoked": ", for ever and for everybody. Its running tasks stop; what was released stays released.",
    "terminated": ", for ever and for everybody: it does not come into force. Propose a new one instead.",
}


def _state(told: dict[str, Any]) -> str:
    """An agreement's state as people say it; programs read the lifecycle's own word in the JSON."""
    words = {"finalized": "in force", "agreed": "agreed, in force once every server has confirmed it"}
    return words.get(told["state"], str(told["state"]))


_mover("suspend", "suspended", "Stop everything under AGREEMENT until you resume it.")
_mover("resume", "finalized", "Resume AGREEMENT after your own suspension.")
_mover("revoke", "revoked", "End AGREEMENT for ever, for everybody.")
_mover("terminate", "terminated", "End the negotiation of AGREEMENT.")


def find_agreement(node: Client, given: str, wait: int = 0) -> str:
    """The digest of an agreement that the node holds: by its digest, the start of it, or the file of its terms."""
    path = Path(given)
    if path.is_file():
        given = _terms(path).digest
    return soon(lambda: [item["agreement"] for item in node.get("/agreements")], given, wait)


def _terms(path: Path) -> Terms:
    from cloister.agreements.terms import Terms

    data = read_limited(path, 4 << 20)
    try:
        document = parse(data)
    except CloisterError:
        document = None
    if not isinstance(document, dict) or document.get("@type") != "Agreement":
        raise BadInput(
            f"{path} is not an agreement.",
            "It is no JSON document whose @type is Agreement.",
            "Write one with: cloister agreement new; or name a file that was sent to you as one.",
        )
    return Terms.from_odrl(document)


def _party(known: list[dict[str, Any]], given: str) -> dict[str, str]:
    wanted = "".join(given.split()).lower()
    found = [
        item
        for item in known
        if item["name"] == given or (len(wanted) >= 8 and item["party"].startswith(wanted))
    ]
    if len(found) != 1:
        raise NotFound(
            f"Your server knows {'no' if not found else 'several'} parties named {given[:80]}.",
            "",
            "See: cloister party list; use the fingerprint.",
        )
    return {"party": found[0]["party"], "name": found[0]["name"]}


def _number(text: str) -> float:
    try:
        return float(decimal_point(text))
    except ValueError:
        raise BadInput(
            "The least quality is no number.", f"{text[:40]!r} was given.", "Write METRIC=0.8"
        ) from None
