"""Contestants of the training benchmarks: each is a process of its own that trains until the measured steps are over.

Those of other libraries run in the peers' environment and import nothing of ours but what lies in this folder.
"""
