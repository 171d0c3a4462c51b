"""Crystal analysis: synthetic micrographs, the counting model and its training, measures, evaluation.

Drawing: `synthesis` makes a picture of `polyhedra`, `agglomerates`, `odd_crystals` and `mimics` by `optics`, `camera` and `framing`;
`hiding` tells how much of each crystal lies under others.
Whose pictures: `factories` are the presets, `mixture` those that the model learns from, `published` those that owners tell of,
`trials` those that it is judged on.
Model: `star_network`, `training_answers` (what it should answer), `outlines_recipe` (how plants go on training it), `directions` (along which).
Use and judging: `shipped` has the numbers and weights that make the tool, `outlining` runs it, `judging` compares with the truth, `outlines_card` is the model card.
"""
