import pytest
from fastapi.testclient import TestClient

from tests.api.conftest import World


@pytest.fixture
def browser(world: World) -> TestClient:
    """Asks without a key, keeps cookies, and takes pages that are no answers of the API."""
    return TestClient(world.client.app)
