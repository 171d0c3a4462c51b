"""Datasets at the party that owns them: reading, describing, committing. Nothing here sends anything anywhere.

What others may see of a dataset is exactly one `schema.DatasetDescription`; everything else stays in files that only
the owner's node reads.
"""
