"""Which rules the verdicts follow; alone in its file, so that it can be known without loading a scorer."""

SCORER_VERSION = 2
"""Raised whenever a verdict may change, so that stored scores tell which rules they follow."""
