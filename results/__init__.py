"""Runs that the documents quote: their small files, and the tables made from them."""
