"""Whether an owner's server may answer a question about figures, and whether a person has to say so first.

Rules, in their order; a refusal names its clause:
1. An agreement that stands between owner and researcher and names the dataset *governs* (`permission.governing`). Each such one must
   be in force (`state`), name the researcher as one (`recipients`), be for the purpose (`purpose`), and permit data this sensitive
   (`sensitivity`).
2. A question is answered without asking a person only if there is such an agreement and each one's clause `figures`
   (`agreements.clauses.UsableDataset`) leaves room: it says how many different questions are answered in all.
3. Everything else waits for a person of the owner. Nobody's silence is a yes.
4. Of one version of a dataset at most `MAX_SUBJECTS` different questions are ever measured, whoever permits them.
5. The same question again (`questions.subject`) counts once, in rules 2 and 4.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cloister.agreements.lifecycle import State
from cloister.disclosure.permission import SENSITIVITIES, Known, Wish, governing
from cloister.foundation.errors import Refused

MAX_SUBJECTS = 100


@dataclass(frozen=True)
class Permitted:
    """No agreement forbids the answer.

    Attributes:
        agreements: digests of those that govern; none where none does.
        asks_nobody: whether they permit it without a person (rule 2).
    """

    agreements: tuple[str, ...]
    asks_nobody: bool


def permit(wish: Wish, agreements: Iterable[Known], subject: str, measured: frozenset[str]) -> Permitted:
    """Decides about one question.

    Args:
        wish: owner, researcher, dataset and purpose; its records do not matter here.
        agreements: those at the owner's node; `Known.disclosed` holds the subjects that were answered under each without a person.
        subject: what is asked.
        measured: the subjects that were measured of this version of the dataset.

    Raises:
        Refused: an agreement forbids it, or too much was asked (clause `number-of-questions`).
    """
    if len(measured | {subject}) > MAX_SUBJECTS:
        raise _refusal(
            "number-of-questions",
            f"{MAX_SUBJECTS} different questions were measured on this version of the dataset.",
            "Ask for what was measured, or agree on a new version of the dataset.",
        )
    found, open_ = governing(wish, agreements), True
    for item in found:
        terms = item.terms
        named = terms.dataset(wish.owner, wish.dataset.commitment, wish.dataset)
        if item.state is not State.FINALIZED:
            raise _refusal("state", f"“{terms.title}” is {item.state}.", "Have it resumed.")
        if wish.recipient not in terms.having("researcher"):
            raise _refusal(
                "recipients",
                f"Whoever asks is no researcher in “{terms.title}”.",
                "Ask one of its researchers.",
            )
        if wish.purpose not in terms.purposes:
            raise _refusal(
                "purpose",
                f"“{terms.title}” is for other purposes.",
                f"One of: {'; '.join(terms.purposes)[:300]}.",
            )
        image = wish.dataset.image
        if (
            named is None
            or image is None
            or SENSITIVITIES[image.sensitivity] > SENSITIVITIES[named.sensitivity]
        ):
            raise _refusal(
                "sensitivity", f"The pictures are more sensitive than agreed in “{terms.title}”.", "Amend it."
            )
        open_ = open_ and named.figures is not None and len(item.disclosed | {subject}) <= named.figures
    return Permitted(tuple(item.digest for item in found), bool(found) and open_)


def _refusal(clause: str, why: str, remedy: str) -> Refused:
    return Refused("The question about figures is not permitted.", why, remedy, clause=clause)
