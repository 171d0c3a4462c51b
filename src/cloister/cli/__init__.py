"""The command line: a thin face over the SDK.

Only `init`, `up`, `demo`, `doctor`, offline tool runs and offline verification work without a running node.
"""
