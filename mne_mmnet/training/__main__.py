"""``python -m mne_mmnet.training``: train a model from the command line."""

import sys

from .command import main

if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted; the same command goes on where it stopped.\n")
        sys.exit(130)
