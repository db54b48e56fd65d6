"""The web process: routes, replies and errors. It never imports torch."""

VERSION = "0.1.0"
