"""The counters that nodes report: for showing, so nothing may grow by them without end."""

from __future__ import annotations

import base64
import hashlib

import pytest

from cloister.foundation.errors import BadInput
from cloister.hub.traffic import MAX_PEERS, TrafficBook


def party(number: int) -> str:
    return base64.b32encode(hashlib.sha256(b"%d" % number).digest()).decode().rstrip("=").lower()


def test_a_node_that_reports_ever_new_parties_is_refused():
    book = TrafficBook()
    book.report(party(0), {party(number): [1, 1, 1, 1] for number in range(1, MAX_PEERS + 1)})
    with pytest.raises(BadInput):
        book.report(party(0), {party(MAX_PEERS + 1): [1, 1, 1, 1]})
    # What it has reported on may change, and others may report.
    book.report(party(0), {party(1): [2, 2, 2, 2]})
    book.report(party(1), {party(0): [2, 2, 2, 2]})
    assert len([item for item in book.all() if item.sender == party(0)]) == MAX_PEERS
