"""The parts of a server as a researcher uses them, a module for each subject."""

from __future__ import annotations

from cloister.sdk.parts.agreements import Agreements
from cloister.sdk.parts.datasets import Budgets, Datasets
from cloister.sdk.parts.parties import Parties
from cloister.sdk.parts.releases import Log, Releases
from cloister.sdk.parts.tasks import Ask, Tasks
from cloister.sdk.parts.tools import Tools

__all__ = ["Agreements", "Ask", "Budgets", "Datasets", "Log", "Parties", "Releases", "Tasks", "Tools"]
