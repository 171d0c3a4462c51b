"""What entries of the log are about, in words: the agreement, dataset, task, result or tool that this server knows by their digest.

The log itself names nothing. What is said here comes from signed documents that this server keeps, and is in no export.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from cloister.agreements.signing import AGREEMENT_TYPE
from cloister.claims.offers import PLAN_TYPE
from cloister.foundation.digests import DIGEST_PATTERN
from cloister.foundation.errors import CloisterError
from cloister.node.datasets_service import CATALOGUE_TYPE
from cloister.node.node import Node
from cloister.release.certificate import PAYLOAD_TYPE
from cloister.storage.datasets import Datasets
from cloister.tools.install import InstalledTools

_MOST = 120


@dataclass(frozen=True)
class About:
    """What an entry is about.

    Attributes:
        text: in words; empty where this server does not know.
        path: the page about it; empty where there is none.
    """

    text: str = ""
    path: str = ""


class Known:
    """What this server knows of signed documents; made anew for each page, so that tools are looked through once.

    Args:
        node: whose documents.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._names = node.parties.names()
        self._found: dict[str, About] = {}
        self._tools: dict[str, list[str]] | None = None

    def about(self, document: str | None) -> About:
        """What the document with a digest is about."""
        if document is None:
            return About()
        if document not in self._found:
            try:
                self._found[document] = self._look(document)
            except (CloisterError, LookupError, AttributeError, TypeError):
                self._found[document] = About()
        return self._found[document]

    def _look(self, document: str) -> About:
        envelope = self._node.agreements.find(document)
        if envelope is None:
            return About()
        content = envelope.document()
        if envelope.payloadType == AGREEMENT_TYPE:
            return self._agreement(document)
        if envelope.payloadType == PLAN_TYPE:
            return self._task(document)
        if envelope.payloadType == CATALOGUE_TYPE:
            return self._dataset(content)
        if envelope.payloadType == PAYLOAD_TYPE:
            return self._release(content)
        if is_digest(content.get("task")):
            return self._task(content["task"])
        if is_digest(content.get("agreement")):
            return self._agreement(content["agreement"])
        return About()

    def _agreement(self, digest: str) -> About:
        return About(f"“{_line(self._node.agreements.get(digest).terms.title)}”", f"/agreements/{digest}")

    def _task(self, digest: str) -> About:
        purpose = self._node.tasks.plan(digest).request.purpose
        return About(f"Task {digest.removeprefix('sha256:')[:8]} for “{_line(purpose)}”", f"/tasks/{digest}")

    def _dataset(self, content: Any) -> About:
        title = f"“{_line(content['title'])}”, version {int(content.get('version', 1))}"
        if content["owner"] != self._node.party:
            return About(
                f"{title} of {self._names.get(content['owner'], 'another organisation')}", "/datasets/others"
            )
        with self._node.durable.database.read() as tx:
            registered = Datasets(tx).names()
        here = content["name"] in registered
        return About(title, f"/datasets/own/{quote(content['name'])}" if here else "")

    def _release(self, content: Any) -> About:
        digest = f"sha256:{content['subject'][0]['digest']['sha256']}"
        text = f"“{_line(content['predicate']['card']['title'])}”"
        if tools := self._installed().get(digest):
            text += f", in use here as the tool {' and '.join(tools)}"
        return About(text, f"/results/{digest}")

    def _installed(self) -> dict[str, list[str]]:
        """By the digest of a model: the tools that have it, with their version."""
        if self._tools is None:
            self._tools = {}
            installed = InstalledTools(self._node.folder.root / "tools")
            for state in installed.list():
                try:
                    models = installed.get(state.name).tool.manifest.models.values()
                except CloisterError:
                    continue
                for model in models:
                    self._tools.setdefault(model, []).append(f"{state.name} {state.current.version}")
        return self._tools


def is_digest(value: object) -> bool:
    """Whether something has the form of a digest."""
    return isinstance(value, str) and re.fullmatch(DIGEST_PATTERN, value) is not None


def _line(text: object) -> str:
    plain = str(text)
    return plain if len(plain) <= _MOST else plain[: _MOST - 1] + "…"
