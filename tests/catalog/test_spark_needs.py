"""What a driver says of its queries: which of them lag, how busy they are, and how many workers that makes."""

import json
from typing import Any

import pytest

from upcall.catalog.spark import health, pages, queries
from upcall.catalog.spark.autoscale import Load, needed
from upcall.catalog.spark.members import CHECKPOINT, JOBS, Held
from upcall.catalog.spark.options import Job
from upcall.catalog.spark.queries import Batch, Look, busy, lag, parsed
from upcall.catalog.spark.service import Spark
from upcall.protocol import service as wire
from upcall.service.context import Context

HEAD = "Streaming query made progress: "
LATE = "Current batch is falling behind. The trigger interval is 2000 milliseconds, but spent 3500 milliseconds"


def progress(second: int, *, took_ms: int = 500, name: str | None = "totals", **more: Any) -> str:
    """As Spark prints it: over several lines."""
    said = {
        "id": "0a1b2c3d-0000-0000-0000-000000000000",
        "runId": "3d2c1b0a-0000-0000-0000-000000000000",
        "name": name,
        "timestamp": f"2026-11-30T10:00:{second:02}.000Z",
        "batchId": second,
        "numInputRows": 100,
        "inputRowsPerSecond": 50.0,
        "processedRowsPerSecond": 200.0,
        "durationMs": {"triggerExecution": took_ms},
        "sources": [{"description": "KafkaV2[Subscribe[readings]]", "metrics": {"maxOffsetsBehindLatest": "0"}}],
        **more,
    }
    return HEAD + json.dumps(said, indent=1) + "\n"


def behind(records: int) -> list[dict[str, Any]]:
    return [{"description": "KafkaV2", "metrics": {"maxOffsetsBehindLatest": str(records)}}]


def why(said: str) -> str:
    (batches,) = parsed(said).queries.values()
    return lag(batches)


def test_a_driver_says_its_application_and_how_each_batch_went() -> None:
    said = parsed("Connected to Spark cluster with app ID app-2026-0001\n" + progress(0) + progress(2) + LATE + "\n")
    assert said.application == "app-2026-0001"
    first, second = said.queries["totals"]
    assert (first.took_s, first.rows, first.comes_per_s, first.done_per_s, first.behind) == (0.5, 100, 50.0, 200.0, 0)
    assert (first.trigger_s, second.trigger_s) == (0.0, 2.0)
    assert second.began_s - first.began_s == 2.0


@pytest.mark.parametrize(
    "said", ["", "nothing", HEAD, HEAD + '{"id": 7}', progress(0)[40:], HEAD + '{"sources": [1]}\n']
)
def test_what_is_cut_off_or_of_another_form_says_nothing(said: str) -> None:
    assert parsed(said).queries == {}
    assert len(parsed(said + progress(4)).queries["totals"]) == 1


def test_a_query_without_a_name_is_called_by_its_id() -> None:
    assert list(parsed(progress(0, name=None)).queries) == ["query 0a1b2c3d"]


@pytest.mark.parametrize("said", [LATE, LATE.replace("2000 ", "2000} ")], ids=["4.1", "4.0"])
def test_a_query_lags_whose_batches_take_longer_than_their_trigger(said: str) -> None:
    late = "".join(progress(second, took_ms=3500) + said + "\n" for second in (0, 3, 6))
    assert why(late) == "batches take 3.5 s, and are to take 2 s"
    assert why(late + progress(9)) == "", "one that was in time: it catches up"


def test_a_query_lags_that_does_less_than_comes_in() -> None:
    slow = [progress(each, inputRowsPerSecond=900.0, processedRowsPerSecond=700.0) for each in range(3)]
    assert why("".join(slow)) == "900 rows come in a second, and it does 700"
    assert why("".join(slow[:2])) == "", "it has just begun"
    assert why("".join(slow[:2]) + progress(2, numInputRows=0, inputRowsPerSecond=0.0)) == "", "nothing came"


def test_a_query_lags_that_is_further_and_further_from_the_end_of_its_topic() -> None:
    assert "it is 90 records behind" in why(
        "".join(progress(each, sources=behind(30 * each + 30)) for each in range(3))
    )
    assert why("".join(progress(each, sources=behind(90 - 30 * each)) for each in range(3))) == "", "it catches up"


def test_a_lagging_query_is_told_with_what_is_done_about_it() -> None:
    late = parsed("".join(progress(second, took_ms=3500) + LATE + "\n" for second in (0, 3, 6)))
    (told,) = health.of_queries({"count": late, "well": parsed(progress(0))}, None)
    assert told.what == "totals of job count lags: batches take 3.5 s, and are to take 2 s"
    assert "`change-job`" in told.doing
    assert (told.member, told.key) == ("job-count", "lags count totals")
    (told,) = health.of_queries({"count": late}, 4)
    assert "by themselves, up to 4" in told.doing


def test_a_query_is_busy_for_the_share_of_time_in_which_it_has_a_batch() -> None:
    batches = [Batch(began_s=second, took_s=0.5, rows=1, comes_per_s=1, done_per_s=1) for second in range(0, 10, 2)]
    assert busy({"q": batches}, now_s=9.0) == pytest.approx(2.5 / 8.5)
    assert busy({"q": batches, "r": batches, "s": batches, "t": batches}, now_s=9.0) == 1.0
    assert busy({"q": batches}, now_s=200.0) == 1.0, "it says nothing: it is in a long one"
    assert busy({}, now_s=9.0) == 1.0, "no query: it works all the time"


def test_workers_follow_the_cores_that_have_work() -> None:
    assert needed(2, 2, [Load("job a", 4, 4, busy=0.5)]).count == 2
    assert needed(4, 2, [Load("job a", 4, 4, busy=0.1)]).count == 1
    assert needed(1, 2, []).count == 1
    size = needed(2, 2, [Load("job a", 2, 2, busy=1.0), Load("application b", 2, 2)])
    assert (size.count, size.reason) == (3, "4.0 of 4 cores have work, 70% is the aim")


def test_one_more_comes_for_a_lag_that_more_cores_help_and_nobody_leaves_for_one_that_they_do_not() -> None:
    size = needed(2, 2, [Load("job a", 8, 4, busy=0.2, lags="batches take 5 s")])
    assert (size.count, "4 of the 8 cores that it asked for" in size.reason) == (3, True)
    assert needed(2, 2, [Load("job a", 4, 4, busy=0.2, lags="batches take 5 s")]).count == 2
    assert needed(2, 2, [Load("job a", 2, 0)]).count == 3, "one that has no core computes nothing"


def test_a_restored_job_that_waits_for_a_secret_is_told_once_its_checkpoint_is_there() -> None:
    held = {"a": Held("spark-1", ("env.PASSWORD",)), "b": Held("spark-1", ("env.PASSWORD", CHECKPOINT))}
    (told,) = health.of_held(held)
    assert told.what == "job a was restored from spark-1, and waits for env.PASSWORD"
    assert "change-job" in told.doing


async def test_a_service_counts_its_jobs_and_the_drivers_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Spark(Context(name="spark", options={"workers": 1, "cores": 4}, inline=True))
    await service.state.set(JOBS, {"count": Job.model_validate({"program": "1", "cores": 4}).model_dump()})
    await service.on_start()
    service._context.members = {
        name: wire.Member(name=name, state="ready", address="127.9.9.1", node="node-1", starts=1)
        for name in ("master-0", "worker-0", "job-count")
    }
    apps = [{"id": "app-1", "cores": 2}, {"id": "app-2", "cores": 2}]
    monkeypatch.setattr(pages, "read", lambda master: {"workers": [], "activeapps": apps})
    slow = [Batch(second, 2.0, 10, 900.0, 700.0) for second in range(3)]

    async def look(driver: Any) -> Look:
        assert driver.name == "job-count"
        return Look("app-1", {"q": slow})

    monkeypatch.setattr(queries, "look", look)
    size = await service.desired_size()
    assert size is not None
    assert size.count == 2
    assert "job count lags (900 rows come in a second, and it does 700), with 2 of the 4 cores" in size.reason
    assert size.reason.startswith("4.0 of 4 cores have work"), "those of somebody else's driver too"
