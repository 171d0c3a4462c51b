"""Every error that the node makes says what happened and why, or what to do: no caller is left with half a sentence."""

from __future__ import annotations

import ast
from pathlib import Path

import cloister.node

ERRORS = {
    "BadInput", "CloisterError", "Conflict", "NotFound", "NotTrusted", "OutOfSpace", "Refused", "Tampered", "Unreachable",
}  # fmt: skip


def halves(tree: ast.AST) -> list[int]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ERRORS:
            said = [item for item in node.args[1:] if not (isinstance(item, ast.Constant) and not item.value)]
            if not said:
                found.append(node.lineno)
    return found


def test_every_error_has_a_reason_or_a_remedy():
    files = sorted(Path(cloister.node.__file__).parent.glob("*.py"))
    assert len(files) > 15
    lines = [f"{file.name}:{line}" for file in files for line in halves(ast.parse(file.read_text()))]
    assert lines == []
