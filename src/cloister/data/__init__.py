"""Datasets at the party that owns them: reading, describing, committing. Nothing here sends anything anywhere.

What others may see of a dataset is exactly one `schema.DatasetDescription`; everything else stays in files that only
the owner's node reads.

Registering: `registry`, `registration`, `commitment`, `schema`, `profile`, `readers`, `labels`, `countries`; of tables `tables`,
`csv_tables`, `csv_columns`, `column_kinds`, `rows`, `windows`.
Pictures: `images`, `deep_colours`, `png` and `bare_pictures` read and write them; `normalise`, `scaling` and `cleaning` change them;
`peaks`, `stars`, `star_targets`, `polygons`, `edges`, `nearness` and `matching` are of objects in them, `classical` and
`classical_shapes` find those without a model.
"""
