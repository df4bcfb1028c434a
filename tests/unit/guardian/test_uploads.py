"""Uploaded files: names that cannot lead anywhere, kinds that are what they say, archives that are no trap."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kimera.guardian.checks import uploads
from kimera.guardian.checks.archives import Bounds


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("data.csv", "data.csv"),
        ("Müller & Söhne (2024).xlsx", "Müller & Söhne (2024).xlsx"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\windows\\win.ini", "win.ini"),
        ("/abs/x.csv", "x.csv"),
        ("C:\\x.csv", "x.csv"),
        ("a\x00.csv", "a.csv"),
        ("a\n\r\tb.csv", "ab.csv"),
        ("invoice\u202evsc.exe", "invoicevsc.exe"),
        ("a\u200b\ufeffb.csv", "ab.csv"),
        ("CON", "_CON"),
        ("con.csv", "_con.csv"),
        ("LPT1.tar.zip", "_LPT1.tar.zip"),
        ("com\u00b9.txt", "_com\u00b9.txt"),
        ("a:b*c?.csv", "a_b_c_.csv"),
        ("name. . ", "name"),
        (".hidden.csv", "hidden.csv"),
        ("-rf.csv", "rf.csv"),
        ("..", "upload"),
        ("", "upload"),
        ("\u202e", "upload"),
    ],
)
def test_a_name_is_made_harmless_and_stays_readable(sent: str, kept: str) -> None:
    """Promise: traversal, NUL, direction marks, devices and hidden names become plain file names."""
    assert kept == uploads.safe_name(sent)


@given(st.text(max_size=400))
def test_any_name_becomes_one_safe_component(name: str) -> None:
    """Promise: no separators, no control characters, no device, at most 150 bytes; naming twice changes nothing."""
    safe = uploads.safe_name(name)
    assert safe == uploads.safe_name(safe)
    assert safe == Path(safe).name
    assert 0 < len(safe.encode()) <= uploads.NAME_BYTES + 1
    assert safe.isprintable()
    assert not safe.startswith((".", "~", "-"))
    assert not safe.endswith((".", " "))


def test_two_files_of_one_upload_never_share_a_name() -> None:
    """Promise: equal names, also by case, get numbers before the extension."""
    assert ["a.csv", "A (2).csv", "a (3).csv"] == uploads.safe_names(["a.csv", "x/A.csv", "../a.csv"])


def zipped(*members: tuple[str, bytes], path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", b"x,y\n1,2\n"),
        ("a.txt", "Grüße".encode("utf-16")),
        ("a.json", b"{}"),
        ("a.pdf", b"%PDF-1.7\n"),
        ("a.parquet", b"PAR1...."),
        ("A.PNG", b"\x89PNG\r\n\x1a\n"),
    ],
)
def test_a_file_that_is_what_it_says_may_stay(name: str, data: bytes, tmp_path: Path) -> None:
    """Promise: known extensions with matching first bytes pass."""
    assert uploads.check(name, written(tmp_path / "f", data)) is None


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.exe", b"MZ\x90", "not read"),
        ("a", b"x", "not read"),
        ("a.csv", b"MZ\x90\x00", "not what .csv says"),
        ("a.csv", b"\x7fELF", "not what .csv says"),
        ("a.csv", b"a,b\x00", "not what .csv says"),
        ("a.csv", b"PK\x03\x04", "not what .csv says"),
        ("a.pdf", b"MZ %PDF-", "not what .pdf says"),
        ("a.png", b"<svg>", "not what .png says"),
        ("a.svg", b"<svg/>", "not read"),
        ("a.zip", b"PK\x03\x04", "damaged"),
        ("a.csv", b"", "empty"),
    ],
)
def test_a_file_that_is_something_else_is_refused(name: str, data: bytes, words: str, tmp_path: Path) -> None:
    """Promise: unknown kinds, programs and disguises are refused with a sentence."""
    assert words in (uploads.check(name, written(tmp_path / "f", data)) or "")


def test_an_honest_archive_passes(tmp_path: Path) -> None:
    """Promise: a zip of tables, folders and an office document passes."""
    workbook = zipped(("xl/workbook.xml", b"<x/>"), path=tmp_path / "w.xlsx")
    path = zipped(("d/a.csv", b"1,2\n" * 5_000), ("w.xlsx", workbook.read_bytes()), path=tmp_path / "a.zip")
    assert uploads.check("a.zip", path) is None
    assert uploads.check("w.xlsx", workbook) is None


def test_a_bomb_is_refused_by_what_it_states(tmp_path: Path) -> None:
    """Promise: 512 MiB out of half a megabyte is refused without being unpacked, whatever bundle holds it."""
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("zeros.csv", "w") as member:
        for _ in range(128):
            member.write(bytes(1 << 20))
    assert path.stat().st_size < 1 << 18
    assert "zip bomb" in (uploads.check("bomb.zip", path) or "")
    assert "zip bomb" in (uploads.check("bomb.xlsx", path) or "")


def test_a_bomb_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    """Promise: bytes are counted while they come out; a small stated size buys nothing."""
    path = zipped(("a.csv", bytes(8 << 20)), path=tmp_path / "liar.zip")
    data = bytearray(path.read_bytes())
    central = data.rfind(b"PK\x01\x02")
    data[central + 24 : central + 28] = struct.pack("<I", 100)
    data[22:26] = struct.pack("<I", 100)
    path.write_bytes(bytes(data))
    assert uploads.check("liar.zip", path) is not None


def test_overlapping_members_are_counted_each_time(tmp_path: Path) -> None:
    """Promise: members that share the same packed bytes add up to a bomb."""
    path = zipped(("a.csv", bytes(1 << 19)), path=tmp_path / "quoted.zip")
    with zipfile.ZipFile(path, "a") as archive:
        info = archive.infolist()[0]
        for number in range(40):
            twin = zipfile.ZipInfo(f"{number}.csv")
            for field in ("header_offset", "compress_size", "file_size", "CRC", "compress_type"):
                setattr(twin, field, getattr(info, field))
            archive.filelist.append(twin)
        archive._didModify = True  # type: ignore[attr-defined]
    assert uploads.check("quoted.zip", path) is not None


@pytest.mark.parametrize("name", ["../up.csv", "/abs.csv", "a/../../b.csv", "..\\w.csv"])
def test_names_that_climb_out_are_refused(name: str, tmp_path: Path) -> None:
    """Promise: an archive with a member outside of itself is refused whole."""
    path = zipped(("ok.csv", b"1"), path=tmp_path / "a.zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, b"1")
    assert "outside" in (uploads.check("a.zip", path) or "")


def test_links_nesting_and_crowds_are_refused(tmp_path: Path) -> None:
    """Promise: links, archives in archives and more than the allowed members are refused."""
    link = zipfile.ZipInfo("link.csv")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "l.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("x.csv", "1")
    nested = zipped(("inner.bin", inner.getvalue()), path=tmp_path / "n.zip")
    many = zipped(*((f"{number}.csv", b"1") for number in range(11)), path=tmp_path / "m.zip")
    assert "link" in (uploads.check("l.zip", tmp_path / "l.zip") or "")
    assert "another archive" in (uploads.check("n.zip", nested) or "")
    assert "more than 10 members" in (uploads.check("m.zip", many, Bounds(members=10)) or "")
    assert uploads.check("m.zip", many, Bounds(members=11)) is None
