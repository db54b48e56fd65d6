"""Every operation of the API can be asked for with a method, in ordinary code and in async code."""

from pathlib import Path

import pytest

from api.main import create_app
from client import AsyncClient, Client
from models.settings import Settings

METHODS = {
    "createJob": "jobs.create",
    "validateJob": "jobs.validate",
    "listJobs": "jobs.list",
    "getJob": "jobs.get",
    "editJob": "jobs.edit",
    "deleteJob": "jobs.delete",
    "cancelJob": "jobs.cancel",
    "pauseJob": "jobs.pause",
    "resumeJob": "jobs.resume",
    "retryJob": "jobs.retry",
    "verifyJob": "jobs.verify",
    "forkJob": "jobs.fork",
    "compareJobs": "jobs.compare",
    "listJobLogs": "jobs.logs",
    "listJobEvents": "jobs.events",
    "streamJobEvents": "jobs.stream",
    "getJobMetrics": "jobs.metrics",
    "downloadJobBundle": "jobs.save_bundle",
    "listJobCheckpoints": "jobs.checkpoints",
    "getBestCheckpoint": "checkpoints.best",
    "getLastCheckpoint": "checkpoints.last",
    "getCheckpoint": "checkpoints.get",
    "downloadCheckpoint": "checkpoints.download",
    "previewSchedule": "previews.schedule",
    "previewAugmentation": "previews.augmentation",
    "previewInitialization": "previews.initialization",
    "downloadPreviewPicture": "previews.save_picture",
    "createDataset": "datasets.create",
    "uploadDataset": "datasets.upload",
    "listDatasetParts": "datasets.upload",
    "signDatasetPart": "datasets.upload",
    "uploadDatasetPart": "datasets.upload",
    "completeDatasetUpload": "datasets.upload",
    "listDatasets": "datasets.list",
    "getDataset": "datasets.get",
    "listDatasetSamples": "datasets.samples",
    "deleteDataset": "datasets.delete",
    "getCatalog": "catalog",
    "getCatalogFamily": "catalog_family",
    "listWorkers": "workers",
    "getVersion": "version",
    "listProjects": "projects.list",
    "getProject": "projects.get",
    "createProject": "projects.create",
    "editProject": "projects.edit",
    "getUsage": "projects.usage",
    "listAudit": "projects.audit",
    "listApiKeys": "keys.list",
    "createApiKey": "keys.create",
    "rotateApiKey": "keys.rotate",
    "revokeApiKey": "keys.revoke",
}
ELSEWHERE = {
    "describeCheckpointContent": "checkpoints.download",
    "getCatalogEntry": "catalog_family",
    "getJobSpecSchema": "for editors, not for code",
    "getHealth": "for probes",
    "getReadiness": "for probes",
    "getOpenapi": "for generators of clients",
}
"""Operations that need no method of their own, and why."""


@pytest.fixture(scope="module")
def operations(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    objects = tmp_path_factory.mktemp("objects")
    app = create_app(Settings(database_url="sqlite://", storage_url=f"file://{objects}"))
    return {
        operation["operationId"]
        for path, operations in app.openapi()["paths"].items()
        for operation in operations.values()
    }


def test_every_operation_has_a_method(operations: set[str]) -> None:
    assert operations == METHODS.keys() | ELSEWHERE.keys()


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize("name", METHODS.values())
def test_the_method_is_there(kind: type[Client] | type[AsyncClient], name: str, tmp_path: Path) -> None:
    found: object = kind("http://127.0.0.1:1", "tw_x")
    for part in name.split("."):
        found = getattr(found, part)
    assert callable(found)
