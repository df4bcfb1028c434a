"""Commits shared by threads: who waits is written for, who fails fails alone, who leaves stops nobody."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.databases import BOTH, database_url

from kimera.errors import ConflictError
from kimera.storage.database import open_database
from kimera.storage.rows import Rows, Transactions

NOTES = sa.table("bench_notes", sa.column("number"))
ADD = NOTES.insert().values(number=sa.bindparam("number"))
READ = sa.select(NOTES.c.number).order_by(NOTES.c.number)


@pytest.fixture(params=BOTH)
def transactions(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Transactions]:
    """Yield transactions on a database with a table of numbers, none of which comes twice."""
    with database_url(request.param, tmp_path) as url:
        database = open_database(url)
        with database.engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE bench_notes (number INTEGER PRIMARY KEY)")
        made = Transactions(database)
        yield made
        made.close()
        database.close()


def noted(transactions: Transactions) -> list[int]:
    """Return the numbers that are kept."""
    return [number for (number,) in transactions.look(READ)]


def test_what_fails_in_a_group_fails_alone(transactions: Transactions) -> None:
    """Promise: sixteen threads write two hundred numbers, every seventh fails with its own error."""

    def write(number: int) -> int:
        def work(rows: Rows) -> int:
            rows.run(ADD, {"number": number})
            if number % 7 == 0:
                raise ConflictError(str(number))
            return number

        try:
            return transactions.write(work)
        except ConflictError as failure:
            return -int(failure.message)

    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(write, range(1, 201)))
    assert [number if number % 7 else -number for number in range(1, 201)] == answers
    assert [number for number in range(1, 201) if number % 7] == noted(transactions)


def test_a_key_taken_twice_is_refused_to_one(transactions: Transactions) -> None:
    """Promise: an error of the database itself reaches the thread whose work it was."""
    with ThreadPoolExecutor(8) as threads:
        tried = [
            threads.submit(transactions.write, lambda rows: rows.run(ADD, {"number": 1}).rowcount) for _ in "abcdef"
        ]
    failures = [each.exception() for each in tried]
    assert 1 == failures.count(None)
    assert {sa.exc.IntegrityError} == {type(each) for each in failures if each is not None}
    assert [1] == noted(transactions)


def test_who_leaves_while_waiting_stops_nobody(transactions: Transactions) -> None:
    """Promise: a thread that is interrupted while another writes takes its work back, and the next writes go on."""

    class Interrupted(Exception):
        pass

    def interrupt(_: int, __: object) -> None:
        raise Interrupted

    def hold() -> None:
        transactions.write(lambda rows: (entered.set(), free.wait(10), rows.run(ADD, {"number": 1}))[0])

    def disturb() -> None:
        while not transactions._waiting:
            threading.Event().wait(0.001)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    entered, free = threading.Event(), threading.Event()
    before = signal.signal(signal.SIGUSR1, interrupt)
    holder, disturber = threading.Thread(target=hold), threading.Thread(target=disturb)
    try:
        holder.start()
        assert entered.wait(10)
        disturber.start()
        with pytest.raises(Interrupted):
            transactions.write(lambda rows: rows.run(ADD, {"number": 2}).rowcount)
    finally:
        signal.signal(signal.SIGUSR1, before)
        free.set()
        holder.join()
        disturber.join()
    transactions.write(lambda rows: rows.run(ADD, {"number": 3}).rowcount)
    assert [1, 3] == noted(transactions)


def test_a_look_is_answered_while_a_write_is_under_way(transactions: Transactions) -> None:
    """Promise: reading does not wait for whoever writes, and sees what is committed only."""

    def work(rows: Rows) -> list[int]:
        rows.run(ADD, {"number": 1})
        return noted(transactions)

    assert [] == transactions.write(work)
    assert [1] == noted(transactions)
