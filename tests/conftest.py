"""Stands here so that `tests/` is importable: `from simulators.bus import run_task`."""
