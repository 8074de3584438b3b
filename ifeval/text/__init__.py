"""Counting and recognising in plain text: words, sentences, capital words, languages."""
