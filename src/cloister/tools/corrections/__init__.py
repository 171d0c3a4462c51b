"""Outlines corrected by hand: what people add, remove, split and merge, on a record that forgets nothing.

A tool's outlines are never changed. Corrections stand beside them as a journal, one entry after the other; what holds is the
tool's outlines with the entries applied that were not undone. Nothing here reads a file, a clock or a database.
"""

from cloister.tools.corrections.edits import Add, Edit, Merge, Redo, Remove, Reshape, Split, Undo
from cloister.tools.corrections.found import Found, Thing, parse_outlines
from cloister.tools.corrections.journal import EMPTY, Entry, Journal, correct, corrected
from cloister.tools.corrections.measured import figures_of, labels_of, told

__all__ = [
    "EMPTY", "Add", "Edit", "Entry", "Found", "Journal", "Merge", "Redo", "Remove", "Reshape", "Split", "Thing", "Undo",
    "correct", "corrected", "figures_of", "labels_of", "parse_outlines", "told",
]  # fmt: skip
