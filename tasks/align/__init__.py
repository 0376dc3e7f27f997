"""How ``align@k`` trains: one class per method or kind of method, chosen by ``align.method`` in ``methods.py``."""
