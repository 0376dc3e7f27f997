"""``speechalign gate``: is system B better than system A, from two folders of audio (docs/gate.md)."""
