"""The words for how a task ended, as every face of a node tells them."""

from __future__ import annotations

ENDED = frozenset({"done", "failed", "stopped", "refused"})
"""Nothing happens in a task after these. `storage.tasks.Status` has those of tasks that ran; `refused` is one that never did."""
