"""The demonstration: a hub and five nodes as real processes on this machine, driven as their operators would."""
