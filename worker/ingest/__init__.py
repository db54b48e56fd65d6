"""Turns an uploaded file into the packed form that training reads. See `models/spec/manifest.py` for the form."""

from worker.ingest.errors import IngestError
from worker.ingest.limits import Limits
from worker.ingest.progress import Progress
from worker.ingest.upload import ingest

__all__ = ["IngestError", "Limits", "Progress", "ingest"]
