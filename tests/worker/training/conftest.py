import pytest
import torch

from worker.training import optimizer


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(params=[True, False], ids=["asked", "as on a device"])
def asked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a step is skipped is known before it is made, as on a processor, or is not."""
    monkeypatch.setattr(optimizer, "is_known", lambda _: request.param)
