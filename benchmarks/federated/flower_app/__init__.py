"""The app that Flower runs for `federated_round.py`, in Flower's own environment; copied into its project as `rounds`."""
