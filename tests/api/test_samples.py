"""Looking at a few examples of a data set."""

import io
from base64 import b64decode
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from api.samples import LARGEST_SIDE, Samples, places, thumbnail
from models import datasets
from models.spec.manifest import ImageManifest, Manifest, TableManifest, VectorManifest
from models.storage import Folder, put_file
from tests.api.conftest import Tenant
from tests.worker.ingest.uploads import folder, image, load, pack, saved, written, zipped
from worker.ingest.packed import array_files, content_sha256, manifest_bytes

TABLE = "age,city,note,big\n31,Rome,it was a good film that nobody saw,\n,Oslo,,2\n" + "".join(
    f'{age},Rome,"word{age} again and again and again",3\n' for age in range(1100)
)


def samples_of(packed: Path, manifest: Manifest, split: str = "train") -> Samples:
    return Samples(Folder(packed.parent), packed.name, manifest, split)


def pixels_of(png: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.asarray(Image.open(io.BytesIO(png)))


def in_pieces(content: bytes) -> Iterator[bytes]:
    return (content[first : first + 1000] for first in range(0, len(content), 1000))


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3]), st.integers(1, 3))
def test_a_thumbnail_is_every_nth_pixel(height: int, width: int, channels: int, times: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (height * times * 8, width * times * 8, channels), np.uint8)
    step = -(-max(pixels.shape[:2]) // LARGEST_SIDE)
    found = pixels_of(thumbnail(in_pieces(pixels.tobytes()), *pixels.shape))
    assert np.array_equal(found.reshape(*found.shape[:2], channels), pixels[::step, ::step])
    assert max(found.shape[:2]) <= LARGEST_SIDE


@given(st.integers(1, 60), st.integers(0, 70), st.integers(1, 20), st.none() | st.integers(0, 5))
def test_pages_of_an_order_are_pieces_of_one_permutation(examples: int, offset: int, limit: int, seed: int) -> None:
    whole = places(examples, 0, examples, seed)
    assert sorted(whole) == list(range(examples))
    assert places(examples, offset, limit, seed) == whole[offset : offset + limit]


def test_every_order_of_three_is_as_likely() -> None:
    counts = Counter(tuple(places(3, 0, 3, seed)) for seed in range(6000))
    assert len(counts) == 6
    assert max(counts.values()) - min(counts.values()) < 200  # 6 deviations


@pytest.mark.parametrize("sizes", [{"width": 6}, {}], ids=["of one size", "of several"])
def test_images_are_shown_with_their_classes(tmp_path: Path, sizes: dict[str, int]) -> None:
    files = folder(**sizes) | ({} if sizes else {"train/cat/wide.png": image(width=200, height=3)})
    manifest, packed = pack(zipped(tmp_path / "a.zip", files))
    assert isinstance(manifest, ImageManifest)
    split = manifest.splits["train"]
    targets, inputs = load(packed, split.targets), load(packed, split.inputs).reshape(-1)
    begin = 0
    for sample in samples_of(packed, manifest).at(range(split.examples)):
        assert sample.target == manifest.classes[targets[sample.index]]
        assert sample.image is not None
        assert sample.image.png is not None
        shape = sample.image.height, sample.image.width, manifest.channels
        stored = inputs[begin : begin + np.prod(shape)].reshape(shape)
        begin += stored.size
        step = -(-max(shape) // LARGEST_SIDE)
        assert np.array_equal(pixels_of(b64decode(sample.image.png)), stored[::step, ::step])
    assert begin == inputs.size


def test_vectors_are_shown_with_what_is_predicted_of_them(tmp_path: Path) -> None:
    x, y = np.arange(600, dtype=np.float32).reshape(4, 150), np.array([[1.5, 2], [3, 4], [5, 6], [7, 8]], np.float32)
    manifest, packed = pack(saved(tmp_path / "a.npz", x_train=x, y_train=y))
    assert isinstance(manifest, VectorManifest)
    first, third = samples_of(packed, manifest).at([0, 2])
    assert (first.target, third.target) == ([1.5, 2.0], [5.0, 6.0])
    assert third.values == x[2, :100].tolist()
    assert third.left_out == 50


def test_labels_are_named(tmp_path: Path) -> None:
    x, y = np.zeros((3, 2), np.float32), np.array([[1, 0, 1], [0, 0, 0], [0, 1, 0]], np.uint8)
    manifest, packed = pack(saved(tmp_path / "a.npz", x_train=x, y_train=y))
    assert isinstance(manifest, VectorManifest)
    assert manifest.multi_label
    assert manifest.classes is not None
    one, two, three = manifest.classes
    assert [sample.target for sample in samples_of(packed, manifest).at(range(3))] == [[one, three], [], [two]]


def test_rows_are_shown_by_the_names_of_their_columns(tmp_path: Path) -> None:
    manifest, packed = pack(written(tmp_path / "a.csv", TABLE))
    assert isinstance(manifest, TableManifest)
    first, second, other = samples_of(packed, manifest).at([0, 1, 9])
    note = "it was a good film that nobody saw"
    assert first.values == {"age": 31.0, "city": "Rome", "big": None, "note": note}
    assert second.values == {"age": None, "city": "Oslo", "big": 2.0, "note": ""}
    assert other.values == {"age": 7.0, "city": "Rome", "big": 3.0, "note": "word7 again and again and again"}


def ready(tenant: Tenant, source: Path) -> str:
    """The id of a data set whose packed form is in the store."""
    manifest, packed = pack(source)
    sha256 = content_sha256(manifest_bytes(manifest))
    services = tenant.world.services
    with services.database.write() as session:
        row = datasets.create(session, project_id=tenant.project_id, name="a")
        datasets.uploaded(session, row.id, filename="a", key=f"datasets/{row.id}/u", size=3, sha256="0" * 64)
        datasets.claim(session, row.id, worker_id="w", lease_seconds=30)
        datasets.ready(session, row.id, 1, manifest=manifest.model_dump(mode="json"), content_sha256=sha256)
    for file in array_files(manifest):
        put_file(services.storage, f"{datasets.packed_prefix(row.id, sha256)}/{file.path}", packed / file.path)
    return row.id


def test_pages_go_through_a_split_and_are_not_sent_twice(ours: Tenant, tmp_path: Path) -> None:
    path = f"/v1/datasets/{ready(ours, zipped(tmp_path / 'a.zip', folder()))}/samples"
    first = ours.reader.get(path, params={"seed": 3, "limit": 4})
    second = ours.reader.get(path, params={"seed": 3, "limit": 4, "offset": 4}).json()
    seen = [sample["index"] for page in (first.json(), second) for sample in page["data"]]
    assert sorted(seen) == list(range(6))
    assert (first.json()["has_more"], second["has_more"], second["examples"]) == (True, False, 6)
    again = ours.reader.get(path, params={"seed": 3, "limit": 4}, headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304


def test_examples_can_be_asked_for_by_their_places(ours: Tenant, tmp_path: Path) -> None:
    path = f"/v1/datasets/{ready(ours, zipped(tmp_path / 'a.zip', folder()))}/samples"
    body = ours.reader.get(f"{path}?split=test&index=1&index=0").json()
    assert [(sample["index"], sample["target"]) for sample in body["data"]] == [(1, "horse"), (0, "cat")]
    for query, parameter in (("split=test&index=2", "index"), ("split=no", "split"), ("offset=-1", "offset")):
        answer = ours.reader.get(f"{path}?{query}")
        assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (422, parameter)


def test_nothing_is_shown_of_what_is_not_ready_not_ours_or_lost(ours: Tenant, theirs: Tenant) -> None:
    new = ours.submitter.post("/v1/datasets", json={"name": "digits"}).json()["urls"]["samples"]
    answer = ours.reader.get(new)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "not_ready")
    assert theirs.reader.get(new).status_code == 404
    assert ours.reader.get(f"/v1/datasets/{ours.dataset()}/samples").status_code == 404
