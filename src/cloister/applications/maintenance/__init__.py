"""Predictive maintenance from sensor rows: which pumps need attention, learned at several plants, used at another."""
