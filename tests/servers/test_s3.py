import pytest
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import S3Store

from tests.servers.s3 import S3


def store(s3: S3, secret_key: str | None = None) -> S3Store:
    return S3Store(
        s3.bucket, prefix=s3.prefix, endpoint=s3.endpoint, region=s3.region,
        access_key_id=s3.access_key, secret_access_key=secret_key or s3.secret_key,
        client_options={"allow_http": True}, retry_config={"max_retries": 0},
    )  # fmt: skip


def test_what_is_put_can_be_had_back(s3: S3) -> None:
    store(s3).put("weights", b"0123456789")
    assert bytes(store(s3).get_range("weights", start=2, length=3)) == b"234"


def test_every_test_has_a_prefix_of_its_own(s3: S3) -> None:
    assert list(store(s3).list()) == []


def test_a_wrong_secret_is_refused(s3: S3) -> None:
    with pytest.raises(BaseError):
        store(s3, secret_key="wrong").put("weights", b"")


def test_an_object_is_created_once(s3: S3) -> None:
    store(s3).put("weights", b"first", mode="create")
    with pytest.raises(AlreadyExistsError):
        store(s3).put("weights", b"second", mode="create")
