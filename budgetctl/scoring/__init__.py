"""Scores and their uncertainty: pure functions over numbers and text, numpy only."""
