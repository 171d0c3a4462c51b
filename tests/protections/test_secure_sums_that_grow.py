"""Rounds behind secure sums as real processes, larger and with more owners than anywhere else: right, and within bounds of memory.

By the benchmark, which ends with an error where the weights that are reached are not those of plain averaging. Times depend on
the machine and are not held to anything.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "federated_round.py"
INTERPRETER = 0.2e9
"""Bytes that a process has before it has seen a number, generously."""
NUMBER = 4


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize(
    ("owners", "numbers", "up", "vectors"),
    [
        # Bytes that an owner sends for each number, and how many float32 vectors of the round's length each process may hold at
        # once beside the interpreter. Of short vectors the documents of 30 owners are a larger part.
        pytest.param(3, 10**7, 4.1, {"coordinator": 12, "owner": 18, "hub": 3}, id="3 owners, 10^7 numbers"),
        pytest.param(
            30, 10**5, 5.5, {"coordinator": 400, "owner": 100, "hub": 100}, id="30 owners, 10^5 numbers"
        ),
    ],
)
def test_rounds_behind_secure_sums_grow_within_bounds_of_memory(tmp_path, owners, numbers, up, vectors):
    told = tmp_path / "told.json"
    size = ["--owners", str(owners), "--sizes", str(numbers)]
    subprocess.run(
        [sys.executable, str(BENCHMARK), "--secure", *size, "--json", str(told)],
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
    )
    found = {item["name"].split(",")[0]: item for item in json.loads(told.read_text())}
    peaks = found["memory of all processes behind a secure sum"]["peak_bytes"]
    for role, most in vectors.items():
        assert peaks[role] <= INTERPRETER + most * NUMBER * numbers, role
    assert found["bytes up of an owner for each number"]["ours"] <= up
