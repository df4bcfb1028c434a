"""The listener: formats, methods, sharing, slow readers and taken ports."""

from __future__ import annotations

import gzip
import http.client
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from typing import cast

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from kimera import telemetry
from kimera.telemetry.reading.exposition import Exposition, Listener, serve_metrics
from kimera.telemetry.recording.catalog import METRICS
from kimera.telemetry.recording.children import Gauge, GaugeHistogram
from kimera.telemetry.recording.metrics import Reading, Registry

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
LINES = 5_000


@pytest.fixture
def listener(registry: Registry) -> Iterator[Listener]:
    """Serve the test's registry on a free port."""
    serving = serve_metrics("127.0.0.1", 0, registry)
    yield serving
    serving.close()


def ask(port: int | None, method: str = "GET", path: str = "/metrics", **headers: str) -> tuple[int, str, bytes]:
    """Return status, content type and body of one request."""
    connection = http.client.HTTPConnection("127.0.0.1", cast("int", port), timeout=10)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): text for name, text in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.headers["Content-Type"], answer.read()
    finally:
        connection.close()


def fill(registry: Registry, routes: int = 40, names: int = 20) -> None:
    """Give every family of the catalogue all its series, capped labels included."""
    for family in METRICS.values():
        opened = registry.metric(family.name)
        combos = list(family.series())
        if not combos:
            combos = [()]
            for label in family.labels:
                many = routes if label.name == "route" else names
                values = label.values or tuple(f"name {number}" for number in range(many))
                combos = [(*combo, value) for combo in combos for value in values]
        for values in combos:
            child = opened.bind(**dict(zip(family.label_names, values, strict=True)))
            if isinstance(child, Gauge):
                child.set(1)
            if isinstance(child, GaugeHistogram):
                child.fill([1] * (len(family.edges) + 1), 3.5)


def test_the_whole_catalogue_is_small_and_clean(registry: Registry, details: None) -> None:
    """Promise: every series there can be fits in 5,000 lines, and promtool finds nothing to complain about."""
    fill(registry)
    body, _ = Exposition(registry).render()
    assert body.count(b"\n") < LINES
    assert all(f"# TYPE {name} ".encode() in body for name in METRICS)
    if shutil.which("promtool") is None:
        if os.environ.get("KIMERA_REQUIRE_PROMETHEUS") == "1":
            pytest.fail("promtool is required here and missing")
        pytest.skip("promtool is not installed")
    checked = subprocess.run(["promtool", "check", "metrics"], input=body, capture_output=True, check=False)
    assert (0, b"", b"") == (checked.returncode, checked.stdout, checked.stderr)


def test_a_hundred_thousand_identities_leave_the_line_count_unchanged(registry: Registry) -> None:
    """Promise: the number of lines does not depend on how many identities there are."""
    registry.open_all()
    before = Exposition(registry).render()[0].count(b"\n")
    entropy = registry.metric("kimera_identity_entropy").bind(identity_type="geoid")
    change = registry.metric("kimera_identity_entropy_change").bind(identity_type="geoid")
    for number in range(100_000):
        entropy.observe(number % 7)
        change.observe(number % 3 - 1, {"identity_id": f"geoid {number}"})
    assert before == Exposition(registry).render()[0].count(b"\n")


def test_both_formats_parse_and_agree(registry: Registry) -> None:
    """Promise: text and OpenMetrics are well formed, and name the same type for the asked histogram."""
    registry.open_all()
    exposition = Exposition(registry)
    text = exposition.render()[0].decode()
    open_text = exposition.render(OPENMETRICS)[0].decode()
    assert "# TYPE kimera_identity_entropy histogram\n" in text
    assert open_text.endswith("# EOF\n")
    plain = {family.name for family in parse_text(text)}
    assert plain == {family.name for family in parse_openmetrics(open_text)}
    assert "_created" not in text + open_text


def test_signed_values_have_no_sum(registry: Registry) -> None:
    """Promise: a histogram with negative edges exposes its buckets but no sum, which could fall, and so no count."""
    registry.metric("kimera_identity_entropy_change").bind(identity_type="geoid").observe(-0.7)
    text = Exposition(registry).render()[0].decode()
    assert 'kimera_identity_entropy_change_bucket{identity_type="geoid",le="+Inf"} 1.0' in text
    assert "kimera_identity_entropy_change_sum" not in text
    assert "kimera_identity_entropy_change_count" not in text


def test_detailed_families_and_exemplars_need_the_switch(registry: Registry) -> None:
    """Promise: with details off no detailed family is shown and no exemplar kept, in either format."""
    registry.metric("kimera_identity_entropy_change").bind(identity_type="geoid").observe(1.0, {"identity_id": "abc"})
    counts = (0,) * 18 + (2,)
    registry.register_collector(lambda: [Reading("kimera_population_entropy", 9.0, {"identity_type": "geoid"}, counts)])
    body, _ = Exposition(registry).render(OPENMETRICS)
    assert b"kimera_population_entropy" not in body
    assert b"identity_id" not in body


def test_exemplars_lead_to_the_identity_in_openmetrics_only(registry: Registry, details: None) -> None:
    """Promise: with details on, OpenMetrics carries the exemplar; the old text format, which cannot, does not."""
    child = registry.metric("kimera_identity_entropy_change").bind(identity_type="geoid")
    child.observe(1.0, {"identity_id": "abc"})
    child.observe(0.5, {"identity_id": "x" * 200})  # longer than OpenMetrics allows
    exposition = Exposition(registry)
    assert b'# {identity_id="abc"} 1.0' in exposition.render(OPENMETRICS)[0]
    assert b"identity_id" not in exposition.render()[0]
    assert b"xxx" not in exposition.render(OPENMETRICS)[0]


def test_those_who_ask_within_a_second_share_one_rendering(registry: Registry) -> None:
    """Promise: ten scrapers in one second cost one rendering; after the second the numbers are new."""
    now = [0.0]
    exposition = Exposition(registry, lambda: now[0])
    counter = registry.metric("kimera_timeouts_total").bind(policy="x")
    first = exposition.render()[0]
    counter.inc()
    now[0] = 0.9
    assert [first] * 9 == [exposition.render()[0] for _ in range(9)]
    assert first == gzip.decompress(exposition.render(zipped=True)[0])
    assert 1 == exposition.renderings
    now[0] = 1.0
    assert b'kimera_timeouts_total{policy="x"} 1.0' in exposition.render()[0]


def test_the_listener_answers_get_metrics_and_nothing_else(listener: Listener, registry: Registry) -> None:
    """Promise: GET /metrics in the format asked for, 404 elsewhere, 405 with Allow for other methods."""
    registry.open_all()
    status, kind, body = ask(listener.port)
    assert (200, True) == (status, kind.startswith("text/plain; version=0.0.4"))
    status, kind, zipped = ask(listener.port, Accept=OPENMETRICS, Accept_Encoding="gzip")
    assert (200, True) == (status, kind.startswith("application/openmetrics-text"))
    assert len(zipped) < len(body) / 5
    assert gzip.decompress(zipped).endswith(b"# EOF\n")
    assert 404 == ask(listener.port, path="/")[0]
    assert [405] * 4 == [ask(listener.port, method)[0] for method in ("POST", "PUT", "DELETE", "HEAD")]


def test_a_slow_reader_blocks_nobody(listener: Listener, registry: Registry) -> None:
    """Promise: readers that stop reading, or never ask, do not keep the next one from its answer."""
    fill(registry)
    idle = [socket.create_connection(("127.0.0.1", cast("int", listener.port))) for _ in range(10)]
    for reader in idle[:5]:
        reader.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    try:
        assert [200] * 5 == [ask(listener.port)[0] for _ in range(5)]
    finally:
        for reader in idle:
            reader.close()


def test_many_readers_at_once_all_get_whole_answers(listener: Listener, registry: Registry) -> None:
    """Promise: twenty scrapers at the same instant get twenty equal, complete answers."""
    registry.open_all()
    bodies: list[bytes] = []
    threads = [threading.Thread(target=lambda: bodies.append(ask(listener.port)[2])) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 20 == len(bodies)
    assert all(body.endswith(b"\n") and b"kimera_missions_total" in body for body in bodies)


def test_a_taken_port_is_a_warning_that_names_its_holder(
    listener: Listener, registry: Registry, recording: telemetry.MemoryStore
) -> None:
    """Promise: the second listener does not come up, says who holds the port and what to set, and nothing raises."""
    second = serve_metrics("127.0.0.1", cast("int", listener.port), registry)
    second.close()
    assert second.port is None
    telemetry.flush()
    warning = next(log for log in recording.logs(None) if log.event == "telemetry.metrics_not_served")
    assert f"process {os.getpid()} (" in str(warning.body)
    assert "KIMERA_METRICS_PORT" in str(warning.body)


def test_the_listener_closes_twice_and_frees_its_port(registry: Registry) -> None:
    """Promise: closing gives the port back at once, and closing again is harmless."""
    first = serve_metrics("127.0.0.1", 0, registry)
    port = cast("int", first.port)
    first.close()
    first.close()
    again = serve_metrics("127.0.0.1", port, registry)
    assert port == again.port
    again.close()


def test_a_collector_that_hangs_does_not_hang_the_scrape(registry: Registry) -> None:
    """Promise: while the database does not answer, everything else is still scraped; later its readings are there."""
    free, asked = threading.Event(), threading.Event()

    def slow() -> list[Reading]:
        asked.set()
        assert free.wait(10)
        return [Reading("kimera_reverification_due", 7)]

    registry.register_collector(slow)
    registry.collect(patience=0.01)
    assert asked.wait(10)
    registry.collect(patience=0.01)  # asks nobody a second time while the first answer is out
    assert [] == registry.metric("kimera_reverification_due").present()
    free.set()
    registry.collect(patience=10)
    registry.collect(patience=10)
    assert 7 == registry.value("kimera_reverification_due")


def test_a_scrape_tells_its_own_cost(registry: Registry) -> None:
    """Promise: how long a collection took, how many lines it gave and the processor time spent are metrics too."""
    now = [0.0]
    exposition = Exposition(registry, lambda: now[0])
    exposition.render()
    now[0] = 2.0
    body = exposition.render()[0].decode()
    values = {sample.name: sample.value for family in parse_text(body) for sample in family.samples}
    assert values["kimera_scrape_collect_seconds"] > 0
    assert values["kimera_metrics_series"] >= 0
