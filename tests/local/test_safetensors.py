from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from local.safetensors import TensorEntry, list_tensors


def test_tensors_are_listed_as_they_lie_in_the_file(tmp_path: Path) -> None:
    tensors: dict[str, NDArray[Any]] = {"b": np.zeros((2, 3), np.float32), "a": np.zeros(4, np.int64)}
    save_file(tensors, tmp_path / "file", metadata={"some": "thing"})
    assert sorted(list_tensors(tmp_path / "file"), key=lambda tensor: tensor.name) == [
        TensorEntry("a", "I64", (4,)),
        TensorEntry("b", "F32", (2, 3)),
    ]


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 100])
def test_another_kind_of_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ValueError, match="not a safetensors file"):
        list_tensors(tmp_path / "file")
