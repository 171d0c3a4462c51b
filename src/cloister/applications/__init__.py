"""Applications built from Cloister's parts; crystal analysis is the first."""
