"""Acceptance of a counting method at a plant: the tool beside people who count the same pictures, against limits set before."""
