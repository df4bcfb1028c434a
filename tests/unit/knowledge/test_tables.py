"""Tables: whatever way a file writes them, the values come out as meant, and nothing is lost in silence."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars
import pytest
import xlsxwriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kimera.knowledge._child import Child
from kimera.knowledge._delimited import read_delimited
from kimera.knowledge._duck import Engine
from kimera.knowledge._read import Outcome, read
from kimera.knowledge._sniff import sniff
from kimera.knowledge.limits import Limits


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """Yield one engine for all tables of this module."""
    with Engine(Limits()) as made:
        yield made


def rows_of(text: str | bytes, engine: Engine) -> tuple[list[str], list[tuple[Any, ...]], Any, Any]:
    """Return ``(names, rows, written, recipe)`` of a delimited text."""
    path = engine.scratch(".csv")
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    written, recipe = read_delimited(path, engine)
    frame = polars.read_parquet(written.path)
    return frame.columns, frame.rows(), written, recipe


CASES: dict[str, tuple[str | bytes, list[str], list[tuple[Any, ...]]]] = {
    "comma": ("a,b\n1,x\n2,y\n", ["a", "b"], [(1, "x"), (2, "y")]),
    "tab": ("a b\tc\n1\t2.5\n2\t3\n", ["a b", "c"], [(1, 2.5), (2, 3.0)]),
    "pipe": ("a|b\n1|x, y; z\n2|q\n", ["a", "b"], [(1, "x, y; z"), (2, "q")]),
    "decimal comma": ("k;v\na;1.234,5\nb;-2,75\n", ["k", "v"], [("a", 1234.5), ("b", -2.75)]),
    "quoted decimal comma": ('v,k\n"1,5",a\n"0,44",b\n', ["v", "k"], [(1.5, "a"), (0.44, "b")]),
    "thousands": ('v,w\n"1,234",1\n56789,2\n', ["v", "w"], [(1234, 1), (56789, 2)]),
    "white space": ("yr  doy  t\n2013  1   -3.5\n2013 10  12.5\n2013 100 2\n", ["yr", "doy", "t"],
                    [(2013, 1, -3.5), (2013, 10, 12.5), (2013, 100, 2.0)]),
    "two blanks": ("City      Pop\nNew York   80\nOslo       70\n", ["City", "Pop"], [("New York", 80), ("Oslo", 70)]),
    "comments": ("# about, this\n# x y\n1 2\n3 4\n5 6\n", ["x", "y"], [(1, 2), (3, 4), (5, 6)]),
    "title": ("My table\nSource: me, you\nk,v,w\na,1,2\nb,3,4\nc,5,6\n", ["k", "v", "w"],
              [("a", 1, 2), ("b", 3, 4), ("c", 5, 6)]),
    "padded title": ("My table,,\n,,\nk,v,w\na,1,2\nb,3,4\n", ["k", "v", "w"], [("a", 1, 2), ("b", 3, 4)]),
    "notes below": ("k,v,w\na,1,2\nb,3,4\n\n* estimated\nSource: me\n", ["k", "v", "w"], [("a", 1, 2), ("b", 3, 4)]),
    "two header rows": (",2020,,2021\nk,n,r,n\na,1,2.5,3\nb,4,5.5,6\n", ["k", "2020 n", "2020 r", "2021 n"],
                        [("a", 1, 2.5, 3), ("b", 4, 5.5, 6)]),
    "units row": ("t,v\n(s),(m/s)\n1,2.5\n2,3.5\n3,4\n", ["t", "v"], [(1, 2.5), (2, 3.5), (3, 4.0)]),
    "no header": ("1,2.5,x\n2,3.5,y\n3,4.5,z\n", ["column_1", "column_2", "column_3"],
                  [(1, 2.5, "x"), (2, 3.5, "y"), (3, 4.5, "z")]),
    "years as names": ("k,1990,1991\na,1.5,2.5\nb,3,4\n", ["k", "1990", "1991"], [("a", 1.5, 2.5), ("b", 3.0, 4.0)]),
    "row names": ('"x","y"\n"a b",1,2\n"c",3,4\n"d",5,6\n', ["row", "x", "y"],
                  [("a b", 1, 2), ("c", 3, 4), ("d", 5, 6)]),
    "repeated names": ("a,A,,b\n1,2,3,4\n5,6,7,8\n", ["a", "A_2", "column_3", "b"], [(1, 2, 3, 4), (5, 6, 7, 8)]),
    "trailing comma": ("a,b\n1,2,\n3,4,\n", ["a", "b"], [(1, 2), (3, 4)]),
    "ragged": ("a,b,c\n1,2,3\n4,5\n6\n7,8,9\n", ["a", "b", "c"], [(1, 2, 3), (4, 5, None), (6, None, None), (7, 8, 9)]),
    "too many cells": ("a,b\n1,2\n3,4,more\n5,6\n7,8\n", ["a", "b", "column_3"],
                       [(1, 2, None), (3, 4, "more"), (5, 6, None), (7, 8, None)]),
    "quoted lines": ('a,b\n1,"one\ntwo, ""three"""\n2,x\n', ["a", "b"], [(1, 'one\ntwo, "three"'), (2, "x")]),
    "stray quote": ('a,b\n1,5" pipe\n2,6" pipe\n', ["a", "b"], [(1, '5" pipe'), (2, '6" pipe')]),
    "open quote": ('a,b\n1,"open\n2,x\n3,y\n4,z\n', ["a", "b"], [(1, "open"), (2, "x"), (3, "y"), (4, "z")]),
    "whole lines quoted": ('"a,b"\n"1,2"\n"3,4"\n', ["a", "b"], [(1, 2), (3, 4)]),
    "blank before quote": ('a, b\n1, "x, y"\n2, "z"\n', ["a", "b"], [(1, "x, y"), (2, "z")]),
    "single quotes": ("'a','b'\n'x,1',2\n'y',3\n'z',4\n", ["a", "b"], [("x,1", 2), ("y", 3), ("z", 4)]),
    "codes": ("id,zip,m\n001,02139,01\n002,94110,12\n", ["id", "zip", "m"],
              [("001", "02139", 1), ("002", "94110", 12)]),
    "long digits": ("id\n12345678901234567890\n12345678901234567891\n", ["id"],
                    [("12345678901234567890",), ("12345678901234567891",)]),
    "missing words": ("a,b\nNA,NA here\n-,-\n3,null\n4,y\n", ["a", "b"],
                      [(None, "NA here"), (None, "-"), (3, "null"), (4, "y")]),
    "missing in text": ("a,b,c\nNA,NA,NA\n2,x y,AT\n3,z,BE\n", ["a", "b", "c"],
                        [(None, None, "NA"), (2, "x y", "AT"), (3, "z", "BE")]),
    "header only": ("a,b\n", ["a", "b"], []),
    "money and percent": ('k,c,p,d\nx,"$1,234.50",12%,(100)\ny,$5,3.5%,7\n', ["k", "c", "p", "d"],
                          [("x", 1234.5, 12.0, -100.0), ("y", 5.0, 3.5, 7.0)]),
    "truth": ("a,b\nTRUE,yes\nfalse,no\n", ["a", "b"], [(True, "yes"), (False, "no")]),
    "mac lines": (b"a,b\r1,2\r3,4\r", ["a", "b"], [(1, 2), (3, 4)]),
    "latin": ("a,b\nJosé,1\nRenée,2\n".encode("latin-1"), ["a", "b"], [("José", 1), ("Renée", 2)]),
    "utf-16": ("a,b\nJosé,1\nRenée,2\n".encode("utf-16"), ["a", "b"], [("José", 1), ("Renée", 2)]),
    "cyrillic": ("имя;число\nИван Петрович;1\nМария Ивановна;2\n".encode("cp1251"), ["имя", "число"],
                 [("Иван Петрович", 1), ("Мария Ивановна", 2)]),
    "minus sign": ("a,b\n−5,1\n−3,2\n", ["a", "b"], [(-5, 1), (-3, 2)]),
    "formulas": ("a,b\n=cmd|'/C calc'!A0,1\n@SUM(1),2\n", ["a", "b"], [("=cmd|'/C calc'!A0", 1), ("@SUM(1)", 2)]),
    "one column": ("name\nAnn Lee\nBob Ray\n", ["name"], [("Ann Lee",), ("Bob Ray",)]),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_messy_file_means_what_a_person_reads(case: str, engine: Engine) -> None:
    """Promise: names, types and values are those a person would read off the file, and no row is dropped."""
    text, names, rows = CASES[case]
    found_names, found_rows, _, recipe = rows_of(text, engine)
    assert (names, rows, 0) == (found_names, found_rows, recipe.rows_dropped)


@pytest.mark.parametrize(
    ("expected", "cells"),
    [
        ("date", ["2020-01-02", "2020-11-30"]),
        ("date", ["01/15/2020", "02/16/2020"]),
        ("date", ["15/01/2020", "16/02/2020"]),
        ("date", ["15-Jan-2020", "16-Feb-2020"]),
        ("date", ["15.01.2020", "NA"]),
        ("timestamp", ["2020-01-02 03:04:05", "2020-01-02"]),
        ("timestamp", ["2020-01-02T03:04:05Z", "2020-01-02T03:04:05+02:00"]),
        ("timestamp", ["1/2/2020 13:45", "12/22/2020 9:45"]),
        ("text", ["2020-13-45", "2020-01-01"]),
        ("text", ["12:30", "13:45"]),
        ("text", ["1.2.3", "4.5.6"]),
        ("real", ["1e-5", "2.5E3"]),
        ("real", ["1e999", "2.5"]),
        ("integer", ["9223372036854775807", "-1"]),
    ],
)
def test_types_come_from_every_cell(expected: str, cells: list[str], engine: Engine) -> None:
    """Promise: a column has a narrow type only if each cell can be read as it."""
    text = "k;v\n" + "".join(f"x;{cell}\n" for cell in cells)
    assert expected == rows_of(text, engine)[2].columns[1].type


def test_one_odd_cell_far_down_makes_a_column_text(engine: Engine) -> None:
    """Promise: a value outside of the looked-at sample is not lost."""
    text = "k,v\n" + "".join(f"a,{i}\n" for i in range(1_000, 4_003)) + "b,unknown\n"
    _, rows, written, _ = rows_of(text, engine)
    assert ("text", ("b", "unknown")) == (written.columns[1].type, rows[-1])


def test_thousands_far_down_are_still_numbers(engine: Engine) -> None:
    """Promise: a notation that first appears outside of the sample is understood."""
    text = "k;v\n" + "".join(f"a;{i}\n" for i in range(100, 3_103)) + "b;1,234,567\n"
    _, rows, written, _ = rows_of(text, engine)
    assert ("integer", 1_234_567) == (written.columns[1].type, rows[-1][1])


def test_the_same_table_has_the_same_bytes(engine: Engine) -> None:
    """Promise: reading a file twice gives the same Parquet file, byte for byte."""
    text = "k,v\n" + "".join(f"{i % 7},{i / 3}\n" for i in range(5_000))
    first, second = (rows_of(text, engine)[2].path.read_bytes() for _ in range(2))
    assert first == second


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.lists(st.text(st.sampled_from("ab1.,; \"'\n-é|\t"), max_size=8), min_size=3, max_size=3),
        min_size=4,
        max_size=12,
    )
)
def test_what_a_csv_writer_writes_comes_back(engine: Engine, rows: list[list[str]]) -> None:
    """Promise: for any cells, a properly quoted file keeps each record with its non-blank text."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([["first", "second", "third"], *rows, ["the", "very", "last"]])
    _, found, _, recipe = rows_of(buffer.getvalue(), engine)
    assert (len(rows) + 1, 0) == (len(found), recipe.rows_dropped)
    assert sum(bool(c.strip()) for row in rows for c in row) >= sum(c is not None for row in found[:-1] for c in row)


def outcome_of(path: Path, engine: Engine) -> Outcome:
    """Return what the reader finds in one file."""
    with Child(Limits()) as child:
        return read(path, path.name, sniff(path, path.name), engine, child)


def frames(outcome: Outcome) -> dict[str, list[tuple[Any, ...]]]:
    """Return the rows of each table by its part."""
    return {table.part: polars.read_parquet(table.written.path).rows() for table in outcome.tables}


@pytest.mark.parametrize(
    ("expected", "value"),
    [
        ([(1, 2.5, "x", "[1, 2]"), (2, 3.0, "y", None)],
         [{"a": 1, "b": {"c": 2.5, "d": "x"}, "e": [1, 2]}, {"a": 2, "b": {"c": 3, "d": "y"}}]),
        ([(1, "x"), (2, "y")], {"n": [1, 2], "s": ["x", "y"]}),
        ([(1, "x"), (2, "y")], {"meta": "about", "rows": [{"n": 1, "s": "x"}, {"n": 2, "s": "y"}]}),
        ([("p", 1), ("q", 2)], {"p": {"v": 1}, "q": {"v": 2}}),
        ([(1, True)], {"v": 1, "w": True}),
    ],
)  # fmt: skip
def test_json_records_become_rows(expected: list[Any], value: Any, engine: Engine, tmp_path: Path) -> None:
    """Promise: lists of objects, objects of lists and keyed objects are tables, opened by one level."""
    path = tmp_path / "v.json"
    path.write_text(json.dumps(value))
    assert [expected] == list(frames(outcome_of(path, engine)).values())


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ("delimited", "gene\tsite\nabc\tleft arm\nabd\tright arm\nabe\thead\n"),
        ("delimited", "yr doy t\n2013 1 -3.5\n2013 2 4.5\n2013 3 1.0\n"),
        ("text", "This is a text, with commas.\nAnd more, too.\nAnd again, here.\n"),
        ("text", "2020 was good\n2021 was bad\n2022 was fine\n"),
        ("text", "Key: value\nOther: thing\nThird: more\n"),
    ],
)
def test_a_plain_text_is_a_table_only_if_its_lines_agree(expected: str, text: str, tmp_path: Path) -> None:
    """Promise: a .txt file of cells is a table, one of sentences a document."""
    (tmp_path / "x.txt").write_text(text)
    assert expected == sniff(tmp_path / "x.txt", "x.txt").reader


def test_json_lines_keep_columns_that_come_late(engine: Engine, tmp_path: Path) -> None:
    """Promise: a key seen first in the last line is a column; a broken line is named."""
    path = tmp_path / "v.jsonl"
    path.write_text('{"a": 1}\n\n{"a": 2, "b": "x"}\n')
    assert {"": [(1, None), (2, "x")]} == frames(outcome_of(path, engine))
    path.write_text('{"a": 1}\n{"a": 2\n{"a": 3}\n')
    assert "Line 2 is not valid JSON" in (outcome_of(path, engine).problem or "")


def test_sqlite_tables_are_read_and_views_left_alone(engine: Engine, tmp_path: Path) -> None:
    """Promise: every ordinary table is read, nothing in the file runs, the file stays as it was."""
    path = tmp_path / "d.sqlite"
    with sqlite3.connect(path) as made:
        made.execute('CREATE TABLE "odd ""name" (id INTEGER, v REAL, b BLOB)')
        made.execute('INSERT INTO "odd ""name" VALUES (1, 2.5, x\'00ff\'), (2, NULL, NULL)')
        made.execute(
            "CREATE VIEW endless AS WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM r) SELECT x FROM r"
        )
    made.close()
    before = path.read_bytes()
    assert {'odd "name': [(1, 2.5, "(2 bytes)"), (2, None, None)]} == frames(outcome_of(path, engine))
    assert before == path.read_bytes()


def test_parquet_keeps_its_types(engine: Engine, tmp_path: Path) -> None:
    """Promise: Parquet columns arrive with the types of the contracts; lists become JSON text."""
    path = tmp_path / "p.parquet"
    polars.DataFrame({"i": [1, 2], "f": [1.5, float("nan")], "l": [[1], [2, 3]]}).write_parquet(path)
    outcome = outcome_of(path, engine)
    assert ["integer", "real", "text"] == [c.type for c in outcome.tables[0].written.columns]
    assert {"": [(1, 1.5, "[1]"), (2, None, "[2,3]")]} == frames(outcome)


def test_every_sheet_of_a_workbook_is_a_table(engine: Engine, tmp_path: Path) -> None:
    """Promise: titles above, notes below, spans and merged cells of a sheet are understood; empty sheets are named."""
    path = tmp_path / "b.xlsx"
    book = xlsxwriter.Workbook(path)
    sheet = book.add_worksheet("Sales")
    sheet.write(0, 0, "Quarterly sales")
    sheet.merge_range("C2:D2", "2020")
    sheet.write_row(2, 0, ["Region", "Town", "Q1", "Q2"])
    sheet.merge_range("A4:A5", "North")
    for row, cells in enumerate([["Oslo", 1, 2.5], ["Bergen", 3, 4]], 3):
        sheet.write_row(row, 1, cells)
    sheet.write(6, 0, "Source: the books")
    book.add_worksheet("Empty")
    book.close()
    outcome = outcome_of(path, engine)
    assert {"Sales": [("North", "Oslo", 1, 2.5), ("North", "Bergen", 3, 4.0)]} == frames(outcome)
    assert ["The sheet Empty holds no table."] == outcome.warnings
    assert ("Quarterly sales", 3) == (outcome.tables[0].title, outcome.tables[0].recipe.header_row)
