"""Figures of a tool on each owner's labelled pictures, let out by the owners' gates: asked, decided, measured, answered.

`asking` is the researcher's half, `answering` the owner's, `measuring` runs the tool in a confined worker, `scoring` makes scores of
single pictures. What may leave is decided in `disclosure.figure_permission` and `release.figures`.
"""
