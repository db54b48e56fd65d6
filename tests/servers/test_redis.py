from urllib.parse import urlsplit

import pytest
import redis


@pytest.mark.xdist_group("redis_url")
@pytest.mark.parametrize("time", ["first", "second"])
def test_every_test_finds_it_empty(redis_url: str, time: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("left", "behind")


def test_it_is_set_as_production_is(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("appendonly") == {"appendonly": "yes"}


def test_it_asks_for_its_password(redis_url: str) -> None:
    password = urlsplit(redis_url).password or ""
    with redis.Redis.from_url(redis_url.replace(password, "wrong")) as client, pytest.raises(redis.AuthenticationError):
        client.ping()
