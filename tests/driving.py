"""A job from upload to download through a client that a generator wrote: `driving.py URL KEY DATA TARGET`.

Run by the Python that has the generator, with the generated package on its path; nothing of ours is imported.
"""

import hashlib
import sys
from pathlib import Path

from trainwright_client import AuthenticatedClient
from trainwright_client.api.checkpoints import download_checkpoint, get_best_checkpoint
from trainwright_client.api.datasets import create_dataset, get_dataset, upload_dataset
from trainwright_client.api.jobs import create_job, get_job, list_jobs, validate_job
from trainwright_client.api.metrics import get_job_metrics
from trainwright_client.models import (
    CreateDataset,
    CreateJob,
    DatasetState,
    GetJobMetricsInterval,
    Problem,
    SpecDataset,
    SpecMlp,
    SpecSgd,
    SpecSplit,
    SpecTraining,
    State,
)
from trainwright_client.types import File


def drive(client: AuthenticatedClient, data: Path, target: Path) -> None:
    """Upload, look at a mistake, train, read the curve, download: whatever is not as it should be ends it."""
    dataset = create_dataset.sync(client=client, body=CreateDataset(name=data.stem))
    with data.open("rb") as file:
        upload_dataset.sync(dataset.id, client=client, body=File(payload=file), filename=data.name)
    while (dataset := get_dataset.sync(dataset.id, client=client, wait=10)).status is not DatasetState.READY:
        assert dataset.status is not DatasetState.FAILED, dataset

    spec = CreateJob(
        name="generated",
        dataset=SpecDataset(id=dataset.id, validation=SpecSplit(split="test")),
        network=SpecMlp(hidden=[16]),
        training=SpecTraining(epochs=2),
        optimizer=SpecSgd(learning_rate=0.1),
        tags=["by a generated client"],
    )
    assert validate_job.sync(client=client, body=spec).valid
    wrong = CreateJob.from_dict(spec.to_dict() | {"seed": -1})
    problem = create_job.sync(client=client, body=wrong)
    assert isinstance(problem, Problem)
    assert problem.errors[0].pointer == "/seed"

    job = create_job.sync(client=client, body=spec, idempotency_key="once")
    assert create_job.sync(client=client, body=spec, idempotency_key="once").id == job.id
    while not (job := get_job.sync(job.id, client=client, wait=10)).finished_at:
        pass
    assert job.status is State.SUCCEEDED, job
    assert [one.id for one in list_jobs.sync(client=client, status=[State.SUCCEEDED]).data] == [job.id]
    assert (
        len(get_job_metrics.sync(job.id, client=client, interval=GetJobMetricsInterval.EPOCH).columns["train/loss"])
        == 2
    )

    best = get_best_checkpoint.sync(job.id, client=client)
    content = download_checkpoint.sync(best.id, client=client).payload.read()
    assert hashlib.sha256(content).hexdigest() == best.sha256
    target.write_bytes(content)


if __name__ == "__main__":
    url, key, data, target = sys.argv[1:]
    with AuthenticatedClient(base_url=url, token=key, raise_on_unexpected_status=True) as client:
        drive(client, Path(data), Path(target))
