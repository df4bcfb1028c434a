"""What the sandbox costs: time to the first answer and per job. Needs no data; writes a small Parquet file.

State: cold Python, warm file cache. Sizes: 10,000 rows. Run: python benchmarks/sandbox.py [--jobs 100] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

from kimera.sandbox import Session, probe

SQL = "result = db.execute('select count(*), avg(x) from t').fetchone()"
SCIPY = "from scipy import stats\nresult = stats.norm.cdf(1.0)"


def timed(session: Session, code: str, inputs: dict[str, Path]) -> float:
    """Return the milliseconds of one job."""
    begin = time.perf_counter()
    answer = session.run(code, inputs, trusted=True)
    assert answer.ok, answer.error
    return (time.perf_counter() - begin) * 1000


def measure(jobs: int) -> dict[str, object]:
    """Return every figure in milliseconds."""
    import duckdb

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.parquet"
        with duckdb.connect() as database:
            database.sql("select i, i * 0.5 as x from range(10000) t(i)").write_parquet(str(path))
        found = probe()
        session = Session()
        begin = time.perf_counter()
        session.start()
        started = (time.perf_counter() - begin) * 1000
        first = timed(session, SQL, {"t": path})
        scipy_first = timed(session, SCIPY, {})
        warm = sorted(timed(session, SQL, {"t": path}) for _ in range(jobs))
        empty = sorted(timed(session, "result = 1", {}) for _ in range(jobs))
        session.close()
    return {
        "level": found.level,
        "landlock_abi": found.landlock_abi,
        "cores": os.cpu_count(),
        "start_returns_ms": round(started, 2),
        "first_sql_job_ms": round(first, 1),
        "then_first_scipy_job_ms": round(scipy_first, 1),
        "sql_job_p50_ms": round(statistics.median(warm), 1),
        "sql_job_p95_ms": round(warm[int(len(warm) * 0.95)], 1),
        "empty_job_p50_ms": round(statistics.median(empty), 1),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    figures = measure(chosen.jobs)
    if chosen.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:26} {value}")


if __name__ == "__main__":
    main()
