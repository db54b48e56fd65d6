"""The number of everything that one part writes and another reads later: specs, packed data, checkpoints."""

FORMAT = 1
"""Grows with a release that writes what earlier ones cannot read: words of a spec, a layout of files. Rows carry it,
and a worker takes up only what it can read; so the workers of an installation can be brought up to date one by one."""
