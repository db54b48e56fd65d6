"""The page: shells that the server fills in, scripts that ask the public API."""
