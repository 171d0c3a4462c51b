"""What a worker is told of a dataset, the same with every method: where it is, which it is, what its units of privacy are.

Light enough for the node's own process, which makes the calls.
"""

from __future__ import annotations

from cloister.foundation.canonical import JSON
from cloister.foundation.errors import BadInput
from cloister.journal.program import DataPort


def of_dataset(data: DataPort) -> dict[str, JSON]:
    """The arguments `dataset`, `dataset_digest`, `reading` and, for a table whose units share a column's value, `unit_column`.

    A table is read as it was when it was registered: were the kinds of its columns guessed from the records again, one unit could
    change how all others are read.

    Raises:
        BadInput: the dataset's unit of privacy is not one that is known here.
    """
    told: dict[str, JSON] = {"dataset": str(data.folder), "dataset_digest": data.digest}
    if data.reading:
        told["reading"] = dict(data.reading)
    unit = data.description.get("unit_of_privacy")
    if unit is None:
        return told
    if not isinstance(unit, dict) or unit.get("kind") not in ("record", "image", "column"):
        raise BadInput(
            "A dataset's unit of privacy is not known here.",
            "Its entry names another kind than record, image or column.",
            "Register the dataset again with this version of Cloister.",
        )
    if unit["kind"] == "column":
        told["unit_column"] = str(unit["column"])
    return told
