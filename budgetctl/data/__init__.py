"""Rows for training and evaluation: sources, exact nested subsets, cards."""
