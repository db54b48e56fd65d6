"""A worker keeps the data that were used last, as many as there is room for."""

import os
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from models import datasets
from models.spec.manifest import Manifest
from models.storage import put_file
from models.tables import Dataset
from tests.worker.test_intake import nowhere, site, upload, vectors
from worker import cache
from worker.ingest import ingest
from worker.intake import run_ingest
from worker.site import Site

__all__ = ["site"]


class Data(NamedTuple):
    """A data set in the store, for whoever works with it."""

    site: Site
    manifest: Manifest
    content_sha256: str

    @property
    def row(self) -> Dataset:
        manifest = self.manifest.model_dump(mode="json")
        return Dataset(id=f"ds_{self.content_sha256}", content_sha256=self.content_sha256, manifest=manifest)

    @property
    def place(self) -> Path:
        return cache.cached(self.site, self.content_sha256)

    @property
    def bytes(self) -> int:
        return sum(file.stat().st_size for file in self.place.iterdir())

    def open(self, scratch: Path, look: cache.Look = lambda: None) -> cache.Packed:
        return cache.packed(self.site, self.row, scratch, look)

    def use(self, moment: int) -> None:
        """For a while that is over."""
        with self.site.scratch("job") as scratch:
            assert len(list(self.open(scratch).folder.iterdir())) == 3
        os.utime(self.place, (moment, moment))


@pytest.fixture
def three(site: Site, tmp_path: Path) -> list[Data]:
    """All of them here, used one after another."""
    found = [stored(site, tmp_path / str(number), number) for number in range(3)]
    for moment, data in enumerate(found, start=1):
        data.use(moment)
    return found


def stored(site: Site, folder: Path, number: int) -> Data:
    folder.mkdir()
    upload = folder / "vectors.npz"
    np.savez(upload, train_inputs=np.full((50, 40), number, np.float32), train_targets=np.arange(50) % 2)
    manifest = ingest(upload, folder / "packed", filename=upload.name)
    data = Data(site, manifest, cache.sha256_of(folder / "packed/manifest.json"))
    for file in (folder / "packed").iterdir():
        put_file(site.storage, f"{datasets.packed_prefix(data.row.id, data.content_sha256)}/{file.name}", file)
    return data


def allow(site: Site, size: int) -> None:
    site.settings = site.settings.model_copy(update={"cache_bytes": size})


def test_what_was_used_longest_ago_makes_room(site: Site, three: list[Data]) -> None:
    three[0].use(4)
    allow(site, three[0].bytes + three[2].bytes)
    three[0].use(5)
    assert [data.place.exists() for data in three] == [True, False, True]
    three[1].use(6)
    assert [data.place.exists() for data in three] == [True, True, False]


def test_whoever_uses_data_keeps_them_whatever_is_forgotten(site: Site, three: list[Data]) -> None:
    with site.scratch("a") as a, site.scratch("b") as b:
        first, second = three[0].open(a).folder, three[1].open(b).folder
        allow(site, 0)
        three[2].use(0)
        assert three[0].place.exists(), "forgetting what is in use would free nothing"
        shutil.rmtree(three[1].place)  # somebody does it all the same
        assert np.load(second / "train.inputs.npy").mean() == 1
        assert np.load(first / "train.inputs.npy").mean() == 0
    three[2].use(0)
    assert not three[0].place.exists()


def disk(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    """Of 1 GiB."""
    usage = shutil._ntuple_diskusage
    monkeypatch.setattr("worker.cache.shutil.disk_usage", lambda _: usage(2**30, 0, free))


def test_some_of_the_disk_is_left_to_others(site: Site, three: list[Data], monkeypatch: pytest.MonkeyPatch) -> None:
    disk(monkeypatch, 2**30 // 20 - three[0].bytes - 1)
    cache.make_room(site)
    assert [data.place.exists() for data in three] == [False, False, True]


def test_room_is_made_before_it_is_needed(site: Site, three: list[Data], monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(three[2].place)
    disk(monkeypatch, 2**30 // 20)
    seen = []
    with site.scratch("job") as scratch:
        three[2].open(scratch, lambda: seen.append([data.place.exists() for data in three]))
    assert seen[0] == [False, True, False]


def test_an_upload_has_room_made_for_it(
    site: Site, three: list[Data], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    disk(monkeypatch, 2**30 // 20)
    run_ingest(site, upload(site, vectors(tmp_path)))
    assert not three[0].place.exists()


def test_a_full_disk_has_what_nobody_uses_forgotten(site: Site, three: list[Data]) -> None:
    with site.scratch("job") as scratch:
        three[1].open(scratch)
        cache.forget_unused(site)
        assert [data.place.exists() for data in three] == [False, True, False]


def test_what_has_lost_a_file_is_fetched_again(site: Site, three: list[Data]) -> None:
    (three[0].place / "train.targets.npy").unlink()
    three[0].use(0)
    assert len(list(three[0].place.iterdir())) == len(list(three[1].place.iterdir()))


def test_data_that_are_here_need_no_store(site: Site, three: list[Data]) -> None:
    site.storage = nowhere()
    three[0].use(0)


def test_what_was_made_of_data_goes_with_them(site: Site, three: list[Data]) -> None:
    with site.scratch("a") as scratch:
        found = three[0].open(scratch)
        np.save(found.folder / "resized.npy", np.zeros(1000))
        (found.folder / ".another.npy.123.tmp").touch()
        found.keep_derived()
    with site.scratch("b") as scratch:
        again = three[0].open(scratch)
        assert np.load(again.folder / "resized.npy").size == 1000
        assert len(list(again.folder.iterdir())) == 4
        shutil.rmtree(three[0].place)
        again.keep_derived()
        assert not three[0].place.exists(), "what was forgotten is not begun anew"
    allow(site, 0)
    cache.make_room(site)
    assert not any(data.place.exists() for data in three)
