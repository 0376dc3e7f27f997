"""``python -m flows``: the same command line as ``speechalign``."""

from flows.cli import main

if __name__ == "__main__":
    main()
