"""What the gateway costs beside a bare FastAPI endpoint, and what streams cost with many viewers.

    python benchmarks/gateway.py [--seconds 4] [--connections 16] [--viewers 100] [--json]

Servers and load run in processes of their own; the load is a small client on raw sockets, so that it is not what is
measured. ``bare`` is one FastAPI endpoint of the same body on the same HTTP implementation (h11) without a line of
ours. Bar: a trivial POST through the gateway keeps at least 75 % of its rate, by CPU time per request; on a
machine with other work the counted rate says more about the neighbours. Each row is the middle of three rounds in which
all rows take turns. Streams: 2 events a second for 20 s; a third of the viewers hangs up once and comes back with
Last-Event-ID; bar: none lost, none twice.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

BODY = {"text": "Which factors go with higher body mass?", "number": 5}
ROUNDS = 3
STREAM_SECONDS = 20.0
PER_SECOND = 2.0
TICKS = os.sysconf("SC_CLK_TCK")


class Note(BaseModel, extra="forbid"):
    """The body of the trivial request."""

    text: str
    number: int


# -- servers --------------------------------------------------------------------------------------------------------


def probe_router(*dependencies: Any) -> Any:
    """Return a router with one trivial endpoint, the same for both servers."""
    from fastapi import APIRouter

    routes = APIRouter(prefix="/api/probe")

    @routes.post("", dependencies=list(dependencies))
    async def probe(note: Note) -> Note:
        return note

    return routes


def serve(kind: str, place: str) -> None:
    """Run one of the servers; its first line on stdout is its port."""
    import uvicorn

    if kind == "bare":
        from fastapi import FastAPI

        app: Any = FastAPI()
        app.include_router(probe_router())
        wire: Any = "h11"
    else:
        from kimera.api import create_app, requires
        from kimera.api.switchboard import mount
        from kimera.api.wire import Wire
        from kimera.missions.control import open_home
        from kimera.settings import Settings

        rates = {
            "rate_per_key": 1e6,
            "rate_per_address": 1e6,
            "missions_per_tenant": 10**6,
            "folders": f"{place}/shelf",
        }
        home = open_home(Settings(home=Path(place) / "home", database_url=None, **rates))  # type: ignore[arg-type]
        app, wire = create_app(home), Wire
        mount(app, probe_router(requires("write")))
        app.state.gate.board.survey()
    config = uvicorn.Config(app, port=0, http=wire, ws="none", log_config=None, access_log=False, backlog=512)
    server = uvicorn.Server(config)

    class Said(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            print(self.servers[0].sockets[0].getsockname()[1], flush=True)

    server.__class__ = Said
    server.run()


class Server:
    """A server process."""

    def __init__(self, kind: str, place: Path) -> None:
        command = [sys.executable, __file__, "--serve", kind, "--place", str(place)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def cpu(self) -> float:
        """Return the CPU seconds used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def resident(self) -> float:
        """Return the resident memory in MiB."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)

    def end(self) -> None:
        """Stop it."""
        self.process.terminate()
        self.process.wait()


# -- load -----------------------------------------------------------------------------------------------------------


def request(method: str, path: str, body: Any = None, **headers: str) -> bytes:
    """Return the bytes of a request."""
    data = b"" if body is None else json.dumps(body).encode()
    fields = {"host": "localhost", "content-length": str(len(data)), **headers}
    if body is not None:
        fields["content-type"] = "application/json"
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + data


async def one_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Read one answer of known length; returns status and body."""
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head[9:12])
    at = head.find(b"content-length: ")
    length = int(head[at + 16 : head.find(b"\r", at)]) if at >= 0 else 0
    return status, await reader.readexactly(length) if length else b""


async def load(port: int, message: bytes, wanted: int, connections: int, seconds: float) -> dict[str, float]:
    """Send the same request on kept connections for some seconds; returns rate and latencies in milliseconds."""
    times: list[float] = []
    until = time.perf_counter() + seconds

    async def caller() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
        while time.perf_counter() < until:
            began = time.perf_counter()
            writer.write(message)
            status, body = await one_answer(reader)
            times.append(time.perf_counter() - began)
            assert status == wanted, (status, body[:300])
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(connections)))
    whole = time.perf_counter() - began
    ordered = sorted(times)

    def at(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000

    return {"requests": len(times), "per_second": len(times) / whole, "p50": at(0.5), "p95": at(0.95), "p99": at(0.99)}


async def view(port: int, mission: str, total: int, breaks: bool) -> list[int]:
    """Follow a mission until ``total`` events came, hanging up once in the middle if told so; returns their numbers."""
    seen: list[int] = []
    while len(seen) < total:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        last = str(seen[-1]) if seen else "0"
        writer.write(request("GET", f"/api/missions/{mission}/events", last_event_id=last))
        stop = total // 2 if breaks and len(seen) < total // 2 else total
        while len(seen) < stop:
            line = await reader.readline()
            assert line, "the stream ended"
            if line.startswith(b"id: "):
                seen.append(int(line[4:]))
        writer.close()
    return seen


async def views(port: int, mission: str, viewers: int, total: int) -> dict[str, int]:
    """Run all viewers; returns how many events were lost or came twice, and how often somebody came back."""
    found = await asyncio.gather(*(view(port, mission, total, n % 3 == 0) for n in range(viewers)))
    wanted = list(range(1, total + 1))
    return {
        "lost": sum(len(set(wanted) - set(seen)) for seen in found),
        "twice": sum(len(seen) - len(set(seen)) for seen in found),
        "returned": sum(n % 3 == 0 for n in range(viewers)),
        "events": sum(map(len, found)),
    }


def in_own_process(work: str, **arguments: Any) -> Any:
    """Run `load` or `views` in a process of its own and return its result."""
    command = [sys.executable, __file__, "--client", work, "--arguments", json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout)


def client(work: str, arguments: dict[str, Any]) -> None:
    """Be the process that `in_own_process` starts."""
    if work == "load":
        arguments["message"] = arguments["message"].encode("latin-1")
        print(json.dumps(asyncio.run(load(**arguments))))
    else:
        print(json.dumps(asyncio.run(views(**arguments))))


# -- the measurement ------------------------------------------------------------------------------------------------


def prepare(place: Path) -> tuple[str, str]:
    """Make a home with one finished mission and one that stays open; returns their ids."""
    from benchmarks.small_missions import playbook

    from kimera.missions import control
    from kimera.settings import Settings

    folder = place / "shelf" / "texts"
    folder.mkdir(parents=True)
    for number in range(30):
        (folder / f"{number}.txt").write_text(f"Text {number} is here.\n" * 20)
    playbook()
    with control.open_home(Settings(home=place / "home", database_url=None)) as home:
        done = control.submit(home, "What is here?", folder, playbook="small")
        control.run(home, done)
        return done, control.submit(home, "What stays open?", folder, playbook="of nobody")


def throughput(bare: Server, ours: Server, done: str, seconds: float, connections: int) -> dict[str, dict[str, float]]:
    """Return the middle round of every row."""
    report = f"/api/missions/{done}/report"
    tag = etag(ours.port, report)
    rows = {
        "bare FastAPI, trivial POST": (bare, request("POST", "/api/probe", BODY), 200),
        "gateway, trivial POST": (ours, request("POST", "/api/probe", BODY), 200),
        "gateway, start a mission": (
            ours,
            request("POST", "/api/missions", {"question": "Q?", "folder": "texts"}),
            201,
        ),
        "gateway, where a mission stands": (ours, request("GET", f"/api/missions/{done}"), 200),
        "gateway, report as JSON": (ours, request("GET", report), 200),
        "gateway, report unchanged (304)": (ours, request("GET", report, if_none_match=tag), 304),
        "gateway, report as Markdown": (ours, request("GET", f"{report}?format=md"), 200),
    }
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in rows}
    for _ in range(ROUNDS):
        for name, (server, message, wanted) in rows.items():
            text = message.decode("latin-1")
            cpu = -server.cpu()
            found = in_own_process(
                "load", port=server.port, message=text, wanted=wanted, connections=connections, seconds=seconds
            )
            found["cpu_us"] = (cpu + server.cpu()) / found["requests"] * 1e6
            rounds[name].append(found)
    return {
        name: {key: statistics.median(one[key] for one in found) for key in found[0]} for name, found in rounds.items()
    }


def etag(port: int, path: str) -> str:
    """Return the ETag of an answer."""
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return str(answer.getheader("etag"))


def streams(ours: Server, place: Path, mission: str, viewers: int) -> dict[str, float]:
    """Append events at a steady pace while viewers follow; returns what was lost and what it cost."""
    from kimera.missions import control
    from kimera.settings import Settings
    from kimera.storage.missions import Entry

    count, pause = int(STREAM_SECONDS * PER_SECOND), threading.Event()
    idle = -ours.cpu()
    pause.wait(5.0)
    idle = (idle + ours.cpu()) / 5.0
    with control.open_home(Settings(home=place / "home", database_url=None)) as home:
        first = control.get(home, mission).seq
        total, found = first + count, {}

        def follow() -> None:
            found.update(in_own_process("views", port=ours.port, mission=mission, viewers=viewers, total=total))

        watching = threading.Thread(target=follow)
        watching.start()
        pause.wait(3.0)  # everybody is connected
        cpu, began = -ours.cpu(), time.perf_counter()
        for number in range(count):
            home.missions.append(mission, [Entry(f"n{number}", "plan.step", {"step": number, "goal": "one more"})])
            pause.wait(max(0.0, began + (number + 1) / PER_SECOND - time.perf_counter()))
        seconds = time.perf_counter() - began
        cpu += ours.cpu()
        watching.join()
    return found | {"cpu_share": cpu / seconds, "idle_share": idle, "resident_mib": ours.resident()}


def show(rows: dict[str, dict[str, float]], stream: dict[str, float], options: argparse.Namespace) -> None:
    """Print the tables."""
    bare = rows["bare FastAPI, trivial POST"]
    base = bare["per_second"]
    print(
        f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, SQLite; {options.connections} connections, ", end=""
    )
    print(f"{options.seconds:g} s a row, middle of {ROUNDS} rounds\n")
    print(f"{'':34} {'per s':>8} {'of bare':>8} {'CPU us':>8} {'p50 ms':>8} {'p95 ms':>8} {'p99 ms':>8}")
    for name, row in rows.items():
        share = f"{row['per_second'] / base:.2f}"
        times = " ".join(f"{row[one]:8.2f}" for one in ("p50", "p95", "p99"))
        print(f"{name:34} {row['per_second']:8.0f} {share:>8} {row['cpu_us']:8.0f} {times}")
    print(
        f"\n{options.viewers} viewers, {PER_SECOND:g} events/s for {STREAM_SECONDS:g} s: {stream['events']:.0f} events "
        f"delivered, {stream['lost']:.0f} lost, {stream['twice']:.0f} twice, {stream['returned']:.0f} came back; "
        f"{stream['cpu_share']:.1%} of a core (idle {stream['idle_share']:.1%}), {stream['resident_mib']:.0f} MiB"
    )
    ours = rows["gateway, trivial POST"]
    kept = bare["cpu_us"] / ours["cpu_us"]
    held = kept >= 0.75 and not stream["lost"] and not stream["twice"]
    print(
        f"\n{'held' if held else 'NOT HELD'}: a trivial POST keeps {kept:.0%} of the bare endpoint's rate by CPU time "
        f"({ours['per_second'] / base:.0%} as counted here; bar 75 %)"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--viewers", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    for hidden in ("--serve", "--place", "--client", "--arguments"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.place)
        return
    if options.client:
        client(options.client, json.loads(options.arguments))
        return
    with tempfile.TemporaryDirectory(prefix="kimera-bench-") as name:
        place = Path(name)
        done, still = prepare(place)
        bare, ours = Server("bare", place), Server("gateway", place)
        try:
            stream = streams(ours, place, still, options.viewers)
            rows = throughput(bare, ours, done, options.seconds, options.connections)
        finally:
            bare.end()
            ours.end()
    if options.json:
        print(json.dumps({"rows": rows, "streams": stream}))
    else:
        show(rows, stream, options)


if __name__ == "__main__":
    main()
