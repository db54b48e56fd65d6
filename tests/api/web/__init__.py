"""The page: how it is served, and what a browser makes of it."""
