"""What a job may do, and how every way of misbehaving ends."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from kimera.errors import ValidationError
from kimera.sandbox import Job, Limits, Session, run
from kimera.sandbox._processes import descendants
from kimera.sandbox._worker import SCIPY


def test_a_job_reads_its_tables_and_returns_plain_json(session: Session, parquet: Path) -> None:
    """Promise: inputs are views, parameters are values, the result and the row counts come back typed."""
    code = (
        "total = db.execute('select sum(x), count(*) from t').fetchone()\n"
        "result = {'sum': total[0] * parameters['k'], 'names': list(tables), 'mean': db.execute('select avg(x) from t')"
        ".fetchone()[0]}\nrows_read, rows_used = total[1], 7"
    )
    answer = session.run(code, {"t": parquet}, {"k": 2})
    assert ("ok", {"sum": 9900, "names": ["t"], "mean": 49.5}) == (answer.status, answer.result)
    assert (100, 7) == (answer.rows_read, answer.rows_used)
    assert answer.seconds > 0
    assert answer.cpu_seconds > 0


def test_numpy_and_scipy_values_become_json(session: Session) -> None:
    """Promise: arrays, numpy scalars, dates and decimals in a result are turned into plain values."""
    code = (
        "import numpy as np, datetime, decimal\nfrom scipy import stats\n"
        "result = [np.arange(3), np.int64(4), np.float64(.5), datetime.date(2024, 2, 1), decimal.Decimal('2'),"
        " bool(stats.norm.cdf(0) == .5)]"
    )
    assert [[0, 1, 2], 4, 0.5, "2024-02-01", 2, True] == session.run(code).result


def test_jobs_do_not_see_each_other_and_random_numbers_repeat(session: Session) -> None:
    """Promise: names, files and random state of one job are gone in the next; the same code gives the same result."""
    code = (
        "import random, numpy, os\nresult = [random.random(), numpy.random.rand(), 'kept' in globals(), os.listdir()]"
    )
    first = session.run(code + "\nkept = 1\nopen('file', 'w').write('x')")
    second = session.run(code)
    assert first.result == second.result
    assert [False, []] == second.result[2:]


def test_an_error_comes_back_with_its_line_and_without_paths(session: Session, parquet: Path) -> None:
    """Promise: a failing job tells line and message, and no place of this host."""
    answer = session.run("def f(v):\n    return open(tables['t'].parent / v)\nf('nothing.csv')", {"t": parquet})
    assert "error" == answer.status
    assert answer.error is not None
    assert "line 2, in f: return open(tables['t'].parent / v)" in answer.error
    syntax = session.run("x = = 1")
    assert syntax.error is not None
    assert "line 1" in syntax.error
    import_error = session.run("import scipy.nothing")
    assert import_error.error is not None
    assert str(Path(os.__file__).parent) not in import_error.error


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("result = float('nan')", "not JSON compliant"),
        ("result = [1, float('inf')]", "not JSON compliant"),
        ("result = {1, 2}", "holds a set"),
        ("x = 1", "did not assign `result`"),
        ("result = 10 ** 1000", "more than 400 digits"),
        ("result = x = []\nfor _ in range(40):\n    x.append([])\n    x = x[0]", "nested deeper"),
        ("import os\nos._exit(0)", "without a result"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", "signal 11"),
        ("import sys\nsys.exit(3)", "SystemExit"),
        ('import os\nos.write(3, b\'{"status":"ok","result":NaN}\')\nos._exit(0)', "NaN is not a finite number"),
        ('import os\nos.write(3, b\'{"status":"ok","result":1,"result":2}\')\nos._exit(0)', "same key twice"),
        ("import os\nos.write(3, b'[' * 5000)\nos._exit(0)", "not plain JSON"),
    ],
)
def test_a_result_that_is_not_plain_finite_json_is_an_error(session: Session, code: str, said: str) -> None:
    """Promise: what comes back is finite, bounded, unambiguous JSON, or an error that says why not."""
    answer = session.run(code)
    assert ("error", None) == (answer.status, answer.result)
    assert answer.error is not None
    assert said in answer.error


@pytest.mark.parametrize(
    ("code", "status", "limit"),
    [
        ("from time import sleep\nsleep(30)", "timeout", "wall"),
        (
            "import signal\nfrom time import sleep\nfor s in (15, 2, 1): signal.signal(s, signal.SIG_IGN)\nsleep(30)",
            "timeout",
            "wall",
        ),
        ("import os\nfrom time import sleep\nfor fd in (0, 1, 2, 3): os.close(fd)\nsleep(30)", "timeout", "wall"),
        ("print('x' * 50_000)", "killed", "output"),
        ("result = 'x' * 200_000", "killed", "result"),
        ("import numpy\nx = numpy.ones(2**27)\nfrom time import sleep\nsleep(9)", "killed", "memory"),
        ("for i in range(200): open(str(i), 'w').close()\nfrom time import sleep\nsleep(9)", "killed", "files"),
        (
            "for i in range(8): open(str(i), 'wb').write(b'x' * 900_000)\nfrom time import sleep\nsleep(9)",
            "killed",
            "scratch",
        ),
    ],
)
def test_every_limit_ends_the_job_and_names_itself(any_session: Session, code: str, status: str, limit: str) -> None:
    """Promise: with and without kernel isolation, each limit ends the job within its time, and the session goes on."""
    timeout = 0.25 if limit == "wall" else 5.0
    answer = any_session.run(code, timeout=timeout)
    assert (status, limit) == (answer.status, answer.limit_hit)
    assert answer.seconds < 3
    assert 1 == any_session.run("result = 1").result


def test_a_spinning_job_is_ended_by_its_processor_time(session: Session) -> None:
    """Promise: CPU seconds are limited even when the wall clock would allow more."""
    answer = session.run("while True: pass", timeout=5.0)
    assert ("timeout", "cpu") == (answer.status, answer.limit_hit)


def test_a_large_file_and_a_large_allocation_fail_inside_the_job(any_session: Session) -> None:
    """Promise: one file above the file limit and memory above the address space are errors the code can see."""
    big_file = any_session.run(
        "import signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nopen('f', 'wb').write(b'x' * 2_000_000)"
    )
    assert big_file.error is not None
    assert "File too large" in big_file.error
    allocation = any_session.run("x = bytearray(6 << 30)")
    assert ("error", "memory") == (allocation.status, allocation.limit_hit)


def test_the_environment_holds_nothing_of_the_host(any_session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: no variable of the host reaches a job, one thread is the default, and hashing is fixed."""
    monkeypatch.setenv("KIMERA_CANARY", "canary-7781")
    with Session(minimum="none") as fresh:
        found = fresh.run("import os\nresult = dict(os.environ)").result
    assert "canary-7781" not in str(found)
    assert ("1", "0") == (found["OPENBLAS_NUM_THREADS"], found["PYTHONHASHSEED"])
    assert not {"PATH", "USER", "SSH_AUTH_SOCK"} & set(found)
    assert found == any_session.run("import os\nresult = dict(os.environ)").result | {
        key: found[key] for key in ("HOME", "TMPDIR", "MPLCONFIGDIR")
    }


def test_no_descriptor_of_the_host_is_open_in_a_job(any_session: Session, tmp_path: Path) -> None:
    """Promise: a job holds stdin, stdout, stderr and its result pipe, and nothing else."""
    code = (
        "import os\ndef is_open(fd):\n    try:\n        os.fstat(fd)\n        return True\n"
        "    except OSError:\n        return False\nresult = [fd for fd in range(256) if is_open(fd)]"
    )
    with (tmp_path / "secret").open("w") as secret:
        os.set_inheritable(secret.fileno(), True)
        assert [0, 1, 2, 3] == any_session.run(code).result


def test_a_daemon_does_not_outlive_its_job(bare: Session) -> None:
    """Promise: a double-forked process with its own session is dead when the job is over."""
    code = (
        "import os\nfrom time import sleep\nr, w = os.pipe()\n"
        "if os.fork() == 0:\n    os.setsid()\n    pid = os.fork()\n    if pid:\n"
        "        os.write(w, str(pid).encode())\n        os._exit(0)\n    sleep(60)\n"
        "result = int(os.read(r, 20))"
    )
    answer = bare.run(code)
    assert "ok" == answer.status
    assert not Path(f"/proc/{answer.result}").exists()
    assert bare.worker_pid is not None
    assert [] == descendants(bare.worker_pid)


def test_a_fork_bomb_is_bounded_and_cleared(bare: Session) -> None:
    """Promise: a job that forks without end is ended with everything it started."""
    answer = bare.run("import os\nwhile True: os.fork()", timeout=0.5)
    assert answer.status in {"killed", "timeout"}
    assert bare.worker_pid is not None
    assert [] == descendants(bare.worker_pid)
    assert 1 == bare.run("result = 1").result


def test_a_stop_ends_the_running_job_at_once(parquet: Path) -> None:
    """Promise: when should_stop turns true the job is killed, and the worker is still there."""
    stop = threading.Event()
    with Session(should_stop=stop.is_set, minimum="none") as fresh:
        assert 1 == fresh.run("result = 1").result
        timer = threading.Timer(0.2, stop.set)
        timer.start()
        answer = fresh.run("from time import sleep\nsleep(20)")
        timer.join()
        assert ("killed", "stop") == (answer.status, answer.limit_hit)
        assert fresh.worker_pid is not None
        assert [] == descendants(fresh.worker_pid)
        stop.clear()
        assert 2 == fresh.run("result = 2").result


def test_a_dead_worker_is_replaced(parquet: Path) -> None:
    """Promise: a worker killed between jobs costs nothing but a restart; killed in a job, that job says so."""
    with Session(minimum="none", ceiling="none") as fresh:
        fresh.run("result = 1")
        assert fresh.worker_pid is not None
        os.kill(fresh.worker_pid, 9)
        assert 2 == fresh.run("result = 2").result
        suicide = fresh.run("import os\nos.kill(os.getppid(), 9)\nfrom time import sleep\nsleep(5)")
        assert ("killed", "worker") == (suicide.status, suicide.limit_hit)
        assert 3 == fresh.run("result = 3").result


def test_closing_leaves_no_process_and_no_file() -> None:
    """Promise: after close there is no worker and no scratch folder."""
    fresh = Session(minimum="none").start()
    fresh.run("result = 1")
    worker = fresh._worker
    assert worker is not None
    fresh.close()
    assert not worker.alive
    assert not worker.scratch.exists()


@pytest.mark.slow
def test_fifty_jobs_leak_nothing(session: Session, parquet: Path) -> None:
    """Promise: descriptors, processes and scratch files are as before after fifty jobs."""
    session.run("result = 1")
    assert session.worker_pid is not None

    def count(folder: str) -> int:
        return len(list(Path(folder).iterdir()))

    def held() -> tuple[int, int, list[int], int]:
        worker = session._worker
        assert worker is not None
        return (
            count("/proc/self/fd"),
            count(f"/proc/{worker.pid}/fd"),
            descendants(worker.pid),
            count(str(worker.scratch)),
        )

    before = held()
    for index in range(50):
        answer = session.run(
            "result = db.execute('select count(*) from t').fetchone()[0] + parameters['i']",
            {"t": parquet},
            {"i": index},
        )
        assert 100 + index == answer.result
    assert before == held()


@pytest.mark.parametrize("name", ["", "a b", "t; drop", "1x", "a" * 200])
def test_input_names_are_names(session: Session, parquet: Path, name: str) -> None:
    """Promise: a name the code could not use is refused before anything runs."""
    with pytest.raises(ValidationError):
        session.run("result = 1", {name: parquet})


def test_a_cold_run_gives_the_same_answer(parquet: Path) -> None:
    """Promise: `run` does for one job what a session does for many."""
    job = Job(
        "result = db.execute('select max(x) from t').fetchone()[0]", {"t": parquet}, limits=Limits(), trusted=True
    )
    assert 99 == run(job).result


def test_code_that_is_not_ours_is_refused_below_the_minimum(bare: Session, parquet: Path) -> None:
    """Promise: on a host without isolation generated code does not run, templates do, and the message says why."""
    strict = Session(bare.limits, minimum="reduced", ceiling="none")
    try:
        refused = strict.run("open('ran', 'w'); result = 1")
        assert ("refused", None, "none") == (refused.status, refused.result, refused.level)
        assert refused.error is not None
        assert "kimera doctor" in refused.error
        assert 1 == strict.run("result = 1", trusted=True).result
    finally:
        strict.close()


def test_should_stop_before_the_worker_is_ready_ends_the_wait() -> None:
    """Promise: a stopped mission does not wait for a worker that still imports."""
    always: Callable[[], bool] = lambda: True  # noqa: E731
    with Session(replace(Limits(), startup=20), always, minimum="none") as fresh:
        assert ("killed", "stop") == ((answer := fresh.run("result = 1")).status, answer.limit_hit)


def test_a_stop_while_the_worker_still_imports_is_not_lost() -> None:
    """Promise: a stop that reaches the worker together with its job ends that job at once."""
    asked: list[int] = []

    def stop_at_the_second_look() -> bool:
        asked.append(1)
        return len(asked) > 1

    with Session(minimum="none") as fresh:
        fresh.run("result = 1")
        fresh._should_stop = stop_at_the_second_look
        answer = fresh.run("import scipy.stats\nwhile True: pass", timeout=20.0)
        assert ("killed", "stop") == (answer.status, answer.limit_hit)
        fresh._should_stop = lambda: False
        assert 2 == fresh.run("result = 2").result


def test_parameters_come_in_one_order(session: Session) -> None:
    """Promise: the order in which a caller put the parameters does not reach the code."""
    code = "result = [list(parameters), list(parameters['b'])]"
    one = session.run(code, parameters={"b": {"y": 1, "x": 2}, "a": 0})
    other = session.run(code, parameters={"a": 0, "b": {"x": 2, "y": 1}})
    assert [["a", "b"], ["x", "y"]] == one.result == other.result


@pytest.mark.parametrize("allowed", [True, False])
def test_the_worker_keeps_compiled_what_it_imports_if_the_parent_may_and_a_job_never_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, allowed: bool
) -> None:
    """Promise: SciPy is compiled once where an installer did not, unless Python was told to write no bytecode."""
    (tmp_path / "scipy").mkdir()
    for part in ("__init__", *SCIPY):
        (tmp_path / "scipy" / f"{part}.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("sys.dont_write_bytecode", not allowed)
    with Session(minimum="none") as session:
        assert [True] == session.run("import sys, scipy.stats\nresult = [sys.dont_write_bytecode]").result
    assert allowed == (tmp_path / "scipy" / "__pycache__").is_dir()
