"""Pieces of self-contained HTML pages: sounds, word differences, numbers, style and script."""
