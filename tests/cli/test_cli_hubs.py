"""What a running relay writes into its folder for people to read (`cloister.cli.hubs`)."""

from __future__ import annotations

import json

from cloister.cli.hubs import Shown


def test_an_idle_relay_writes_nothing(tmp_path):
    shown = Shown(tmp_path)
    shown.tell("running.json", {"port": 1, "settled": False})
    before = (tmp_path / "running.json").stat().st_ino
    shown.tell("running.json", {"port": 1, "settled": False})
    assert (tmp_path / "running.json").stat().st_ino == before
    shown.tell("running.json", {"port": 1, "settled": True})
    assert json.loads((tmp_path / "running.json").read_bytes())["settled"]


def test_a_file_of_the_last_run_or_one_that_was_deleted_is_written_anew(tmp_path):
    (tmp_path / "running.json").write_text('{"port": 9}')
    shown = Shown(tmp_path)
    for _ in range(2):
        shown.tell("running.json", {"port": 1})
        assert json.loads((tmp_path / "running.json").read_bytes()) == {"port": 1}
        (tmp_path / "running.json").unlink()


def test_what_changes_all_the_time_is_written_now_and_then(tmp_path):
    now = [0.0]
    shown = Shown(tmp_path, lambda: now[0])

    def told() -> int:
        return int(json.loads((tmp_path / "traffic.json").read_bytes()))

    for second in range(25):
        now[0] = float(second)
        shown.tell("traffic.json", second, 10.0)
        assert told() == second // 10 * 10
