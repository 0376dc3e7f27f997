"""``python -m flows``: the same command line as ``speechalign``."""

import os
import signal

if __name__ == "__main__":
    heeded = signal.getsignal(signal.SIGINT)
    if heeded is signal.default_int_handler:  # not in the background, where Ctrl-C is ignored
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))  # while modules are imported: no frames
    from flows.cli import main

    signal.signal(signal.SIGINT, heeded)
    main()
