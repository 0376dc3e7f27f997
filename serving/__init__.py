"""``speechalign serve``: the champion of the registry over HTTP."""
