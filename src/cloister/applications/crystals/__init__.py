"""Crystal analysis: synthetic micrographs, the counting model and its training, measures, evaluation."""
