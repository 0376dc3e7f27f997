"""The characters of texts, apart from the vocabulary's ids: what prepares texts must not rerun when those change."""

CHARACTERS = " 'abcdefghijklmnopqrstuvwxyz"
