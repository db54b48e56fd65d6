"""Jobs side by side."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.comparing import differences, repetitions
from models.metrics import append
from tests.api.conftest import Json, Tenant

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab~/", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab~/", max_size=2), inner, max_size=3),
    max_leaves=8,
)


def at(document: object, pointer: str) -> list[object]:
    """What a document has at a pointer, by RFC 6901: nothing or one thing."""
    for token in pointer.split("/")[1:]:
        token = token.replace("~1", "/").replace("~0", "~")
        if isinstance(document, dict) and token in document:
            document = document[token]
        elif isinstance(document, list) and token.isdigit() and int(token) < len(document):
            document = document[int(token)]
        else:
            return []
    return [document]


@given(json_values, json_values)
def test_a_difference_is_what_both_have_at_its_pointer(one: object, other: object) -> None:
    found = differences({"a": one, "b": other})
    for difference in found:
        for job, document in (("a", one), ("b", other)):
            assert at(document, difference.pointer) == [
                difference.values[name] for name in (job,) if name in difference.values
            ]
        assert repr(difference.values.get("a", ())) != repr(difference.values.get("b", ())), "1 is not true"
    assert (found == []) == (repr(one) == repr(other) or differences({"a": other, "b": one}) == [])


def test_equal_specs_have_no_differences_and_1_is_not_true() -> None:
    assert differences({"a": {"x": [1, {"y": 2.0}]}, "b": {"x": [1.0, {"y": 2}]}}) == []
    (found,) = differences({"a": {"x": 1}, "b": {"x": True}, "c": {}})
    assert (found.pointer, found.values) == ("/x", {"a": 1, "b": True})


def test_jobs_are_compared_by_what_their_specs_mean(ours: Tenant) -> None:
    first = ours.running_job(optimizer={"type": "sgd", "learning_rate": 0.1})
    dataset = ours.reader.get(f"/v1/jobs/{first}").json()["dataset_id"]
    fork = ours.submitter.post(f"/v1/jobs/{first}/fork", json={"optimizer": {"learning_rate": 0.2}, "seed": 0}).json()
    body = ours.reader.get(f"/v1/compare?jobs={first},{fork['id']}").json()
    assert body["differences"] == [{"pointer": "/optimizer/learning_rate", "values": {first: 0.1, fork["id"]: 0.2}}]
    assert [job["id"] for job in body["jobs"]] == [first, fork["id"]]
    assert dataset == fork["dataset_id"]


def test_what_jobs_have_come_to_is_shown_while_they_run_and_after(ours: Tenant) -> None:
    job_id, other = ours.running_job(), ours.job()
    ours.checkpoint(job_id)
    with ours.world.services.database.write() as session:
        append(session, job_id, 1, "epoch", {"step": [5], "epoch": [1], "validation/loss": [0.25]}, {})
    path = f"/v1/compare?jobs={job_id},{other}"
    running, waiting = ours.reader.get(path).json()["jobs"]
    assert (running["best"], running["last"]) == ({"train/loss": 0.5}, {"step": 5, "epoch": 1, "validation/loss": 0.25})
    assert (waiting["best"], waiting["last"]) == (None, None)
    answer = ours.reader.get(path)
    assert ours.reader.get(path, headers={"If-None-Match": answer.headers["etag"]}).status_code == 304


def test_runs_that_differ_only_in_the_seed_tell_the_noise() -> None:
    same = {"network": {"type": "mlp"}, "training": {"epochs": 2}}
    specs = {
        "a": {**same, "seed": 0},
        "b": {**same, "seed": 1, "name": "b"},
        "c": {"seed": 2},
        "d": {**same, "seed": 3},
    }
    results = {"a": {"validation/loss": 1.0, "epoch": 1}, "b": {"validation/loss": 3.0}, "c": {}, "d": None}
    (found,) = repetitions(specs, results)
    assert found.jobs == ["a", "b", "d"]
    (noise,) = found.metrics.values()
    assert (noise.count, noise.mean, noise.minimum, noise.maximum) == (2, 2.0, 1.0, 3.0)
    assert noise.std == pytest.approx(2**0.5)


@pytest.mark.parametrize(
    ("jobs", "status"), [("", 422), ("{a}", 422), ("{a},{a}", 422), ("{a},{b}", 404), ("{a},x", 404)]
)
def test_only_two_to_twenty_jobs_of_ours_are_compared(ours: Tenant, theirs: Tenant, jobs: str, status: int) -> None:
    asked: Json = {"jobs": jobs.format(a=ours.job(), b=theirs.job())}
    assert ours.reader.get("/v1/compare", params=asked).status_code == status
    many = {"jobs": ",".join(f"x{number}" for number in range(21))}
    assert ours.reader.get("/v1/compare", params=many).status_code == 422
