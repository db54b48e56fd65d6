"""The whole service on one machine with nothing to install: `python -m local up`, and the demo."""
