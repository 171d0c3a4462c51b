"""A worker answers, fails cleanly, is replaced, and is confined as its report says."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from cloister.engines.pool import Engine, environment, private_folder
from cloister.foundation.errors import BadInput, CloisterError, NotFound, Refused, TaskFailed

METHODS = {
    "echo": "cloister.engines.methods:echo",
    "probe": "cloister.engines.selftest:probe",
    "misbehave": "cloister.engines.selftest:misbehave",
}
linux = pytest.mark.skipif(sys.platform != "linux", reason="confinement is Linux's")


@pytest.fixture(scope="module")
def engine():
    with Engine(METHODS, folders=[], memory=1 << 30) as made:
        yield made


def test_arguments_and_arrays_come_back_as_they_went(engine) -> None:
    arrays = {
        "x": np.arange(6, dtype=np.float32).reshape(2, 3),
        "empty": np.zeros((0, 4)),
        "flag": np.array(True),
    }
    result, back = engine.call("echo", {"a": [1, {"b": "ü"}]}, arrays)
    assert result == {"a": [1, {"b": "ü"}]}
    for name, value in arrays.items():
        assert back[name].dtype == value.dtype
        np.testing.assert_array_equal(back[name], value)


def test_a_worker_stays_for_the_next_call(engine) -> None:
    engine.call("echo", {})
    first = engine.pid
    engine.call("echo", {})
    assert engine.pid == first


def test_an_unknown_method_is_refused_and_the_worker_goes_on(engine) -> None:
    engine.call("echo", {})
    before = engine.pid
    with pytest.raises(NotFound):
        engine.call("os-system", {})
    assert engine.pid == before


@pytest.mark.parametrize(
    "target",
    [
        "os:system",
        "cloister.engines.methods",
        "cloister:main",
        "cloister.engines.methods:_private",
        "cloister..x:y",
        "xcloister.a:b",
    ],
)
def test_only_functions_of_cloister_can_be_offered(target: str) -> None:
    with pytest.raises(BadInput):
        Engine({"bad": target})


def test_a_call_that_exceeds_its_time_is_killed_and_the_next_one_gets_a_new_worker(engine) -> None:
    engine.call("echo", {})
    before = engine.pid
    with pytest.raises(TaskFailed) as caught:
        engine.call("misbehave", {"how": "sleep"}, {}, 1.0)
    assert "in time" in caught.value.what
    with pytest.raises(ProcessLookupError):
        os.kill(before, 0)
    assert engine.call("echo", {"again": True})[0] == {"again": True}
    assert engine.pid != before


def test_a_worker_that_dies_is_an_error_and_the_next_call_gets_a_new_one(engine) -> None:
    with pytest.raises(TaskFailed) as caught:
        engine.call("misbehave", {"how": "exit"})
    assert "code 3" in caught.value.why
    assert engine.call("echo", {"again": True})[0] == {"again": True}


def test_the_message_of_a_foreign_exception_never_crosses(engine) -> None:
    with pytest.raises(CloisterError) as caught:
        engine.call("misbehave", {"how": "raise", "text": "Anna, 47"})
    assert "ValueError" in caught.value.why
    assert "Anna" not in str(caught.value.problem())
    assert "Anna" not in engine.log_tail()


def test_what_a_library_prints_neither_breaks_the_frames_nor_grows_without_bound(engine) -> None:
    assert engine.call("misbehave", {"how": "chatter"})[0] == {"how": "chatter"}
    assert len(engine.log_tail()) <= 65536


def test_a_result_over_the_limit_is_an_error(engine) -> None:
    with pytest.raises(BadInput):
        engine.call("echo", {}, {f"a{i}": np.zeros(1) for i in range(300)})
    assert engine.call("echo", {})[0] == {}


def test_a_closed_engine_refuses() -> None:
    engine = Engine(METHODS)
    engine.close()
    with pytest.raises(TaskFailed):
        engine.call("echo", {})


def test_nothing_of_the_nodes_environment_reaches_the_worker(engine, monkeypatch) -> None:
    monkeypatch.setenv("CLOISTER_PASSPHRASE", "secret")
    with Engine(METHODS, folders=[]) as fresh:
        seen = fresh.call("probe", {})[0]["environment"]
    assert set(seen) <= set(environment(1, None)) | {"LC_CTYPE"}
    assert "CLOISTER_PASSPHRASE" not in seen


@linux
def test_the_report_is_true_for_every_measure_that_it_calls_enforced(engine, tmp_path: Path) -> None:
    secret, allowed = tmp_path / "key", tmp_path / "data"
    secret.write_text("secret")
    allowed.mkdir()
    (allowed / "record").write_text("1")
    engine.allow(allowed)
    report = engine.sandbox_report()
    pid = engine.pid
    outcome, _ = engine.call(
        "probe",
        {
            "read": [str(secret), str(allowed / "record")],
            "write": [str(allowed / "new"), str(tmp_path / "new")],
            "open_up": [str(secret), str(allowed / "record")],
        },
    )
    if report["system-calls"] == "enforced":
        # Landlock leaves modes alone: a node's keys must not be opened to the machine's other users by its own worker.
        assert outcome[f"open up {secret}"] == outcome[f"open up {allowed / 'record'}"] == "PermissionError"
        # Nothing stays behind when it is killed, nothing is left for others to read, and the node is not its to end.
        for attempt in ("process", "signal", "shared-memory", "limit"):
            assert outcome[attempt] == "PermissionError", attempt
    assert outcome["thread"] == "done"
    if report["network"] == "enforced":
        assert (outcome["connect"], outcome["listen"], outcome["run"]) == ("PermissionError",) * 3
    if report["files"] == "enforced":
        assert outcome[f"read {secret}"] == "PermissionError"
        assert outcome[f"read {allowed / 'record'}"] == "done"
        assert outcome[f"write {allowed / 'new'}"] == "PermissionError"
        assert outcome[f"write {tmp_path / 'new'}"] == "PermissionError"
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    if report["privileges"] == "enforced":
        assert status["NoNewPrivs"].strip() == "1"
    if report["system-calls"] == "enforced":
        assert status["Seccomp"].strip() == "2"
    if report["session"] == "enforced":
        assert os.getsid(pid) == pid
    limits = Path(f"/proc/{pid}/limits").read_text() if os.access(f"/proc/{pid}/limits", os.R_OK) else ""
    if report["core-dumps"] == "enforced" and limits:
        assert any(
            line.startswith("Max core file size") and line.split()[4] == "0" for line in limits.splitlines()
        )
    assert outcome["descriptors"] < 12


@linux
def test_memory_beyond_the_cap_ends_the_call_and_not_the_machine(engine) -> None:
    if engine.sandbox_report()["memory"] != "enforced":
        pytest.skip("no cap here, as the report says")
    with pytest.raises(CloisterError):
        engine.call("misbehave", {"how": "gorge"}, {}, 120)
    assert engine.call("echo", {"again": 1})[0] == {"again": 1}


def test_a_measure_that_is_demanded_and_missing_keeps_the_worker_from_running() -> None:
    with Engine(METHODS, folders=None, demands=["files"]) as engine, pytest.raises(Refused) as caught:
        engine.call("echo", {})
    assert caught.value.clause == "sandbox"


@linux
def test_a_worker_dies_with_its_node() -> None:
    program = (
        "from cloister.engines.pool import Engine; import sys, time\n"
        f"e = Engine({METHODS!r}); e.call('echo', {{}}); print(e.pid, flush=True); time.sleep(600)"
    )
    node = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    worker = int(node.stdout.readline())
    node.kill()
    node.wait()
    node.stdout.close()
    for _ in range(200):
        state = Path(f"/proc/{worker}/stat")
        if not state.exists() or state.read_text().split()[2] == "Z":
            return
        time.sleep(0.05)
    raise AssertionError("the worker outlived its node")


@linux
def test_compiled_programs_are_only_taken_from_a_private_folder(tmp_path: Path) -> None:
    good = tmp_path / "cache"
    assert private_folder(good) == str(good.resolve())
    assert good.stat().st_mode & 0o777 == 0o700
    good.chmod(0o755)
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    for bad in (good, link):
        with pytest.raises(Refused):
            private_folder(bad)
