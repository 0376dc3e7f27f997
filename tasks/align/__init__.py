"""How ``align@k`` trains: one module a kind of method, chosen by ``align.method`` in :mod:`tasks.align.methods`."""
