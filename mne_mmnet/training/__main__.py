"""``python -m mne_mmnet.training``: train a model from the command line."""

from .command import main

if __name__ == "__main__":
    main()
