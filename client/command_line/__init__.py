"""The command line `trainwright`: data on standard output, progress and mistakes on standard error."""
