import inspect

import pytest

import client
from client import async_client
from client import client as ordinary_client

PAIRS = [
    (ordinary_client.Client, async_client.AsyncClient),
    (ordinary_client.Datasets, async_client.AsyncDatasets),
    (ordinary_client.Jobs, async_client.AsyncJobs),
    (ordinary_client.Checkpoints, async_client.AsyncCheckpoints),
    (ordinary_client.Previews, async_client.AsyncPreviews),
    (ordinary_client.Projects, async_client.AsyncProjects),
    (ordinary_client.Keys, async_client.AsyncKeys),
]


@pytest.mark.parametrize(("ordinary", "other"), PAIRS)
def test_both_clients_have_the_same_shape(ordinary: type, other: type) -> None:
    assert shape(ordinary) == shape(other)


def shape(kind: type) -> dict[str, list[tuple[str, object]]]:
    methods = {name: method for name, method in vars(kind).items() if inspect.isfunction(method) and name[0] != "_"}
    return {name: parameters(method) for name, method in methods.items()}


def parameters(method: object) -> list[tuple[str, object]]:
    assert callable(method)
    return [(p.name, p.default) for p in inspect.signature(method).parameters.values()]


def test_what_can_be_imported_is_listed_in_order() -> None:
    assert sorted(client.__all__) == client.__all__
    assert all(hasattr(client, name) for name in client.__all__)
