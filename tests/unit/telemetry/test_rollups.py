"""Roll-ups: rows that add up, the writer that loses and doubles nothing, the ladder, and what is read back."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kimera.clock import FakeClock
from kimera.errors import NotFoundError, ValidationError
from kimera.telemetry.reading.series import History
from kimera.telemetry.recording.children import NANO, Part
from kimera.telemetry.recording.metrics import Reading, Registry
from kimera.telemetry.recording.sketch import RELATIVE_ERROR, place_of, quantile, value_at
from kimera.telemetry.retention.ladder import TIERS, Ladder
from kimera.telemetry.retention.rollup_store import MemoryRollups, RollupRow
from kimera.telemetry.retention.rollup_writer import RollupWriter
from kimera.telemetry.retention.rollups import Key, Level, Rollup, decode, encode, gather, over_processes, over_time

DAY = 86_400
EPOCH = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
REQUESTS = "kimera_http_requests_total"
SECONDS = "kimera_http_request_duration_seconds"
CONFLICT = Key(REQUESTS, ("/api/missions", "4xx"))
FLIGHT = Key("kimera_http_in_flight", ())


class Home:
    """A store, a clock, and processes that count."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = MemoryRollups()
        self.registry = Registry(strict=True, clock=self.clock)
        self.writer = RollupWriter(self.store, "w1", registry=self.registry, clock=self.clock)
        self.history = History(self.store, self.clock)

    def now(self) -> float:
        """Return seconds since 1970."""
        return self.clock.now().timestamp()

    def count(self, n: int = 1, status: str = "2xx") -> None:
        """Count requests."""
        self.registry.metric(REQUESTS).bind(route="/", status_class=status).inc(n)

    def pass_time(self, seconds: float) -> None:
        """Move all clocks."""
        self.clock.tick(seconds)
        self.store.now += seconds

    def total(self, start: float, end: float) -> float:
        """Return the requests counted between two instants, from the store."""
        return sum(self.history.total(REQUESTS, ("status_class",), start, end).values())


@pytest.fixture
def home() -> Home:
    """Return an empty home."""
    return Home()


# --- the algebra ------------------------------------------------------------------------------------------------------

numbers = st.floats(-1e6, 1e6)
keys = st.builds(Key, st.sampled_from([REQUESTS, "kimera_x"]), st.tuples(st.sampled_from("abc")))
parts = st.builds(
    lambda counts, total, least, largest: Part(sum(counts.values()), total, least, largest, counts),
    st.dictionaries(st.integers(-500, 500), st.integers(1, 1_000), min_size=1, max_size=4),
    st.integers(-(10**18), 10**18),
    numbers,
    numbers,
)
levels = st.builds(Level, numbers, numbers, numbers, st.integers(-(10**18), 10**18), st.integers(1, 100))
rollups = st.builds(
    Rollup,
    st.dictionaries(keys, st.integers(1, 10**20), max_size=3),
    st.dictionaries(keys, levels, max_size=3),
    st.dictionaries(keys, parts, max_size=3),
)


@given(rollups)
def test_a_row_survives_its_bytes(rollup: Rollup) -> None:
    """Promise: encoding and decoding changes nothing, and equal rows have equal bytes."""
    assert rollup == decode(encode(rollup))
    assert encode(rollup) == encode(decode(encode(rollup)))


@given(st.lists(rollups, max_size=4), st.integers(0, 4))
def test_adding_in_two_steps_is_adding_in_one(rows: Sequence[Rollup], cut: int) -> None:
    """Promise: wherever a day is cut into pieces, the sum of the pieces' sums is the day's, to the last digit."""
    assert over_time(rows) == over_time([over_time(rows[:cut]), over_time(rows[cut:])])


@given(st.lists(st.floats(1e-6, 3_600), min_size=1, max_size=200), st.sampled_from([0.5, 0.9, 0.99, 1.0]))
def test_a_sketch_is_within_one_percent(values: list[float], q: float) -> None:
    """Promise: any nearest-rank quantile of durations is within one percent of the exact one."""
    places: dict[int, int] = {}
    for value in values:
        places[place_of(value)] = places.get(place_of(value), 0) + 1
    exact = sorted(values)[max(1, -int(-q * len(values) // 1)) - 1]
    found = quantile(places, q)
    assert found is not None
    assert abs(found - exact) <= RELATIVE_ERROR * exact * (1 + 1e-9)
    assert value_at(place_of(exact)) == pytest.approx(exact, rel=RELATIVE_ERROR * (1 + 1e-9))


def test_gauges_of_processes_add_up_or_agree() -> None:
    """Promise: in-flight requests of two processes are added; a count both read from the database is not."""
    disputes = Key("kimera_disputes", ("open",))
    one = Rollup(gauges={FLIGHT: Level(2, 2, 2, 2 * NANO, 1), disputes: Level(7, 7, 7, 7 * NANO, 1)})
    other = Rollup(gauges={FLIGHT: Level(3, 3, 3, 3 * NANO, 1), disputes: Level(8, 8, 8, 8 * NANO, 1)})
    together = over_processes([one, other])
    assert Level(5, 5, 5, 5 * NANO, 1) == together.gauges[FLIGHT]
    assert Level(8, 8, 8, 8 * NANO, 1) == together.gauges[disputes]


def test_only_what_moved_is_written(home: Home) -> None:
    """Promise: a row holds increments, so the second row of an idle process holds no counter and no histogram."""
    home.count(3)
    home.registry.metric(SECONDS).bind(route="/").observe(0.2)
    first, second = gather(home.registry), gather(home.registry)
    assert {Key(REQUESTS, ("/", "2xx")): 3 * NANO} == first.counters
    assert [1] == [part.n for part in first.histograms.values()]
    assert ({}, {}) == (second.counters, second.histograms)


# --- the writer -------------------------------------------------------------------------------------------------------


class Flaky(MemoryRollups):
    """A store that fails as told: before a write, after it, or wholly."""

    def __init__(self) -> None:
        super().__init__()
        self.mood = "well"

    def put(self, row: RollupRow) -> None:
        """Keep a row, or fail before or after."""
        if self.mood in {"before", "away"}:
            raise OSError("locked")
        super().put(row)
        if self.mood == "after":
            raise OSError("lost while it answered")

    def rows(self, tier: str, start: int, end: int) -> list[RollupRow]:
        """Return rows, or fail."""
        if self.mood == "away":
            raise OSError("away")
        return super().rows(tier, start, end)


@given(st.lists(st.sampled_from(["well", "before", "after", "away"]), max_size=12), st.integers(1, 40))
def test_nothing_is_lost_or_doubled_whatever_the_store_does(moods: list[str], gap: int) -> None:
    """Promise: however writes fail, before or after the fact, once the store is well all counts are there, once."""
    home = Home()
    store = Flaky()
    writer = RollupWriter(store, "w1", registry=home.registry, clock=home.clock)
    home.history = History(store, home.clock)
    start = home.now()
    for mood in [*moods, "well"]:
        store.mood = mood
        home.count(7)
        writer.tick()
        home.pass_time(gap)
    assert 7 * (len(moods) + 1) == home.total(start, home.now() + DAY)


def test_a_clock_that_steps_back_overwrites_nothing(home: Home) -> None:
    """Promise: rows made while the clock is behind join the newest row instead of replacing older ones."""
    start = home.now()
    for step in (15, 15, -300, 15, 400):
        home.count()
        home.writer.tick()
        home.pass_time(step)
    assert 5 == home.total(start - DAY, home.now() + DAY)


def test_closing_writes_what_is_left(home: Home) -> None:
    """Promise: a process that ends in good order loses nothing, and closing twice writes nothing twice."""
    home.count(4)
    home.writer.close()
    home.writer.close()
    assert 4 == home.total(home.now() - DAY, home.now() + DAY)


def test_a_store_that_hangs_does_not_keep_the_process(home: Home) -> None:
    """Promise: closing gives up on a store that does not answer, and the process ends."""
    free, asked = threading.Event(), threading.Event()

    class Hanging(MemoryRollups):
        def put(self, row: RollupRow) -> None:
            asked.set()
            free.wait(10)

    writer = RollupWriter(Hanging(), "w1", registry=home.registry, clock=home.clock)
    writer.start()
    home.count()
    writer.close(seconds=0.01)
    assert asked.wait(10)
    free.set()


def test_a_running_writer_stops_when_told(home: Home) -> None:
    """Promise: the writer's thread ends with close(), without waiting out its interval."""
    home.writer.start()
    home.count()
    home.writer.close()
    assert 1 == len(home.store.rows("raw", 0, EPOCH + DAY))


# --- the ladder -------------------------------------------------------------------------------------------------------


def test_four_hundred_days_leave_what_each_tier_promises(home: Home) -> None:
    """Promise: raw keeps up to 14 days, 5 minutes up to 29, hours up to 89, days up to 364, and none much longer."""
    ages = (366, 364, 91, 89, 31, 29, 16, 14, 10, 1)
    ladder = Ladder(home.store, "w1", home.clock)
    for day in range(400, 0, -1):
        if day in ages:
            home.count(day)  # each sample counts its own age, so that its rows can be told by their value
            home.writer.tick()
        assert ladder.climb()
        home.pass_time(DAY)
    ladder.climb()
    kept = {
        tier.name: sorted(
            gained // NANO
            for row in home.store.rows(tier.name, 0, 2**40)
            for gained in decode(row.body).counters.values()
        )
        for tier in TIERS
    }
    young = sorted(ages)
    assert {"raw": young[:3], "5m": young[:5], "1h": young[:7], "1d": young[:9]} == kept


def test_a_year_of_counts_is_exact(home: Home) -> None:
    """Promise: what a year's daily rows add up to is exactly what was counted, restarts and idle weeks included."""
    chance = random.Random(7)
    ladder = Ladder(home.store, "w1", home.clock)
    expected = 0
    for _ in range(365):
        if chance.random() < 0.1:  # the process ends and another begins
            home.writer.close()
            home.registry = Registry(strict=True, clock=home.clock)
            home.writer = RollupWriter(home.store, f"w{chance.random()}", registry=home.registry, clock=home.clock)
        for _ in range(chance.choice([0, 1, 5])):
            n = chance.randrange(1, 10**6)
            home.count(n)
            expected += n
            home.writer.tick()
            home.pass_time(chance.uniform(1, 5_000))
        home.pass_time(DAY - home.now() % DAY)
        if chance.random() < 0.5:
            ladder.climb()
    ladder.climb()
    daily = sum(
        decode(row.body).counters.get(Key(REQUESTS, ("/", "2xx")), 0)
        for row in home.store.rows("1d", 0, int(home.now()) + DAY)
    )
    assert expected * NANO == daily
    assert expected == home.total(EPOCH, home.now())


def test_compacting_again_or_after_a_crash_changes_nothing(home: Home) -> None:
    """Promise: rows are equal after a second compaction, after one that broke off, and after another holder's."""
    for _ in range(50):
        home.count()
        home.registry.metric(SECONDS).bind(route="/").observe(0.3)
        home.writer.tick()
        home.pass_time(307)
    broken = Breaking(home.store, after=9)
    with pytest.raises(OSError, match="crash"):
        Ladder(broken, "w1", home.clock).climb()
    Ladder(home.store, "w1", home.clock).climb()
    first = coarse(home.store)
    Ladder(home.store, "w1", home.clock).climb()
    home.store.now += 1_000
    Ladder(home.store, "w2", home.clock).climb()
    assert first == coarse(home.store)
    assert {"5m": 50, "1h": 5, "1d": 1} == {name: len(rows) for name, rows in first.items()}


class Breaking(MemoryRollups):
    """The same rows, behind a store that dies after some writes."""

    def __init__(self, store: MemoryRollups, after: int) -> None:
        super().__init__()
        self._rows, self._leases, self._left = store._rows, store._leases, after

    def put(self, row: RollupRow) -> None:
        """Keep a row until it is time to die."""
        self._left -= 1
        if self._left < 0:
            raise OSError("crash")
        super().put(row)


def coarse(store: MemoryRollups) -> dict[str, list[RollupRow]]:
    """Return all compacted rows."""
    return {tier.name: store.rows(tier.name, 0, 2**40) for tier in TIERS[1:]}


def test_rows_that_come_late_are_still_added(home: Home) -> None:
    """Promise: a row of a process whose clock is a little behind is in the next compaction."""
    ladder = Ladder(home.store, "w1", home.clock)
    home.count()
    home.writer.tick()
    home.pass_time(320)
    ladder.climb()
    home.store.put(RollupRow("raw", EPOCH + 15, "late", encode(Rollup({Key(REQUESTS, ("/", "2xx")): 5 * NANO}))))
    ladder.climb()
    row = home.store.rows("5m", EPOCH, EPOCH + 300)[0]
    assert 6 * NANO == decode(row.body).counters[Key(REQUESTS, ("/", "2xx"))]


def test_a_bucket_whose_finer_rows_are_going_is_left_alone(home: Home) -> None:
    """Promise: after weeks without a process nothing old is recomputed from the rows that happen to be left."""
    ladder = Ladder(home.store, "w1", home.clock)
    for _ in range(40):
        home.count()
        home.writer.tick()
        home.pass_time(15)
    ladder.climb()
    before = home.store.rows("5m", 0, 2**40)
    home.pass_time(15 * DAY - 300)
    for _ in range(5):
        ladder.climb()
        home.pass_time(120)
    assert before == home.store.rows("5m", 0, 2**40)
    assert 40 == home.total(EPOCH, home.now())


def test_short_runs_keep_the_ladder_of_their_home(home: Home) -> None:
    """Promise: a home that only ever sees runs of a few seconds still has its history after months."""
    for run in range(100):
        registry = Registry(strict=True, clock=home.clock)
        writer = RollupWriter(home.store, f"run-{run}", registry=registry, clock=home.clock)
        writer.start()
        registry.metric(REQUESTS).bind(route="/", status_class="2xx").inc()
        writer.close()
        home.pass_time(DAY)
    assert 100 == home.total(EPOCH - DAY, home.now())
    assert EPOCH + 84 * DAY <= (home.store.first("raw", 0) or 0)


def test_one_of_many_climbs(home: Home) -> None:
    """Promise: while one process holds the lease others do nothing, and take over when it is gone."""
    one, other = (Ladder(home.store, name, home.clock) for name in ("a", "b"))
    assert [True, False, True] == [one.climb(), other.climb(), one.climb()]
    one.leave()
    assert [True, False] == [other.climb(), one.climb()]
    home.pass_time(1_000)
    assert one.climb()


# --- reading ----------------------------------------------------------------------------------------------------------


def test_the_coarsest_tier_that_fits_is_read(home: Home) -> None:
    """Promise: the tier is the coarsest within the step that still reaches back, and says so."""
    home.pass_time(400 * DAY)
    now = home.now()
    assert ["raw", "5m", "1h", "1d"] == [
        home.history.tier(now - age, step).name
        for age, step in [(3_600, 15), (DAY, 300), (7 * DAY, 3_600), (30 * DAY, DAY)]
    ]
    assert ["5m", "1h", "1d", "1d"] == [home.history.tier(now - days * DAY, 15).name for days in (20, 40, 100, 399)]


def test_a_series_is_the_same_from_every_tier(home: Home) -> None:
    """Promise: increases and percentiles over a day are the same whether compacted or not, the newest hour included."""
    chance = random.Random(3)
    start = home.now()
    values = []
    for _ in range(24 * 12):
        home.count(chance.randrange(9))
        values.append(chance.lognormvariate(-2, 1))
        home.registry.metric(SECONDS).bind(route="/").observe(values[-1])
        home.writer.tick()
        home.pass_time(290)
    plain = (
        home.history.series(REQUESTS, (), start, home.now(), DAY),
        home.history.series(SECONDS, (), start, home.now(), DAY),
    )
    Ladder(home.store, "w1", home.clock).climb()
    home.count(2)
    home.writer.tick()
    again = (
        home.history.series(REQUESTS, (), start, home.now() + 1, DAY),
        home.history.series(SECONDS, (), start, home.now() + 1, DAY),
    )
    assert plain[0].series[0].points[0].value == (again[0].series[0].points[0].value or 0) - 2
    assert plain[1] == again[1]
    point = plain[1].series[0].points[0]
    assert (len(values), f"{min(values):.6g}", f"{max(values):.6g}") == (
        point.n,
        f"{point.least:g}",
        f"{point.largest:g}",
    )
    exact = sorted(values)
    assert point.p95 == pytest.approx(exact[-(-95 * len(exact) // 100) - 1], rel=0.0101)
    assert point.value == pytest.approx(sum(values) / len(values), rel=1e-6)


def test_labels_not_asked_for_are_added_up(home: Home) -> None:
    """Promise: `by` tells labels apart, the rest is summed; a step in which it was quiet is zero, not missing."""
    start = home.now()
    home.count(5)
    home.count(2, "5xx")
    home.writer.tick()
    home.pass_time(15)
    home.writer.tick()
    trend = home.history.series(REQUESTS, ("status_class",), start, start + 30, 15)
    assert {"2xx": [5.0, 0.0], "5xx": [2.0, 0.0]} == {
        series.labels["status_class"]: [point.value for point in series.points] for series in trend.series
    }
    together = home.history.series(REQUESTS, (), start, start + 30, 15)
    assert [7.0, 0.0] == [point.value for point in together.series[0].points]
    assert ({("2xx",): 5.0, ("5xx",): 2.0}) == home.history.total(REQUESTS, ("status_class",), start, start + 60)


def test_a_gauge_has_mean_last_and_extremes(home: Home) -> None:
    """Promise: over several looks a gauge gives its mean, what it last showed, the least and the largest."""
    start = home.now()
    shown = [1.0, 5.0, 3.0]
    home.registry.register_collector(lambda: [Reading("kimera_http_in_flight", shown[0])])
    for _ in range(3):
        home.writer.tick()
        home.pass_time(15)
        shown.append(shown.pop(0))
    point = home.history.series("kimera_http_in_flight", None, start, start + 300, 300).series[0].points[0]
    assert (3.0, 3.0, 1.0, 5.0, 3) == (point.value, point.last, point.least, point.largest, point.n)


def test_other_distributions_interpolate_within_their_bucket(home: Home) -> None:
    """Promise: with every entropy at 1.0 the median is 1.0, not the middle of a bucket."""
    start = home.now()
    child = home.registry.metric("kimera_identity_entropy").bind(identity_type="geoid")
    for _ in range(10):
        child.observe(1.0)
    home.writer.tick()
    point = home.history.series("kimera_identity_entropy", None, start, start + 15, 15).series[0].points[0]
    assert (1.0, 1.0, 1.0, 10) == (point.value, point.p50, point.p99, point.n)


def test_a_question_that_cannot_be_answered_says_why(home: Home) -> None:
    """Promise: an unknown metric, label, or an endless series is an error that names what would work."""
    now = home.now()
    with pytest.raises(NotFoundError, match=r"docs/metrics\.md"):
        home.history.series("kimera_typo", None, now - 60, now, 15)
    with pytest.raises(ValidationError, match="it has route, status_class"):
        home.history.series(REQUESTS, ("colour",), now - 60, now, 15)
    for start, step in [(now - DAY, 15), (now, 15)]:
        with pytest.raises(ValidationError, match="2000 points"):
            home.history.series(REQUESTS, None, start, now, step)
