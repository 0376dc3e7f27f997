"""``speechalign``, and ``python -m flows``: the command line, with a quiet end while its modules are imported."""

import os
import signal


def main() -> None:
    """Run the command line. Ctrl-C ends it with status 130 from here on."""
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # not in the background, where Ctrl-C is ignored
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))  # while modules are imported: no frames
    from flows.cli import main as run

    run()


if __name__ == "__main__":
    main()
