"""Cloister: organisations compute together on data that they may not show each other."""

__version__ = "0.1.0"
