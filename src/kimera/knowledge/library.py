"""A folder becomes a library: every file a source, what is in it tables, documents and passages."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Literal

from kimera import telemetry
from kimera.errors import NotFoundError, ValidationError
from kimera.knowledge._archive import members
from kimera.knowledge._child import Child
from kimera.knowledge._dates import archived_names, date_in_name, find_date, is_archived
from kimera.knowledge._delimited import Unreadable
from kimera.knowledge._duck import Engine
from kimera.knowledge._read import Outcome, ReadTable, read, table_again
from kimera.knowledge._sniff import Form, sniff
from kimera.knowledge._text import Extracted
from kimera.knowledge._walk import Found, check_folder, hash_file, raw_path, walk
from kimera.knowledge.contracts import Degraded, Document, Library, Passage, Source, Table
from kimera.knowledge.digest import digest, with_joins
from kimera.knowledge.index import build_segment
from kimera.knowledge.limits import Limits
from kimera.knowledge.passages import cut_passages, link_duplicates
from kimera.storage.blobs import Blobs, sha256_hex

__all__ = ["build_library", "read_document_text", "read_table_again", "read_text_again", "source_path"]

Progress = Callable[[str, int, int], None]
_RESERVED = frozenset(
    re.findall(
        r"\w+",
        """all and any as asc between by case cast check column constraint create cross db default desc distinct do else
        end except exists false fetch for foreign from full grant group having in index inner intersect into is join
        left like limit natural not null offset on only or order outer parameters primary references result right
        select table tables then to true union unique using values view when where window with""",
    )
)
_WARMED = frozenset({"pdf", "docx", "pptx", "html", "excel"})
IMAGE = "It is an image; images are listed, not read. A caption beside it, of the same name, is read."
STOPPED = "Reading was stopped before this file; resume the mission to have it read."


@dataclass
class _Item:
    """One file on its way into the library. ``path`` None: it is listed with ``problem``."""

    name: str
    path: Path | None
    size: int = 0
    problem: str | None = None
    sha256: str = ""
    form: Form = field(default_factory=lambda: Form("", "other", "application/octet-stream"))
    also_named: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass
class _Shelf:
    """What has been read so far."""

    sources: list[Source] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    documents: list[Document] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    values: dict[tuple[str, str], frozenset[str]] = field(default_factory=dict)


def build_library(
    folder: Path,
    blobs: Blobs,
    *,
    knowledge_space: str,
    limits: Limits | None = None,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    found: Callable[[frozenset[str]], object] = lambda kinds: None,
) -> Library:
    """Read every file of ``folder`` and return the library; tables, texts and the index go to ``blobs``.

    The same folder gives the same library, byte for byte. A file that cannot be read is a source with status
    ``unread`` and a reason. ``progress`` is called with a line for a person, files done and files known;
    ``should_stop`` is asked between files; ``found`` is told the kinds of the files before any of them is read.
    Raises `ValidationError` when the folder itself cannot be read.
    """
    bounds = limits or Limits()
    tell = progress or (lambda line, done, total: None)
    path = check_folder(folder)
    tell("Looking through the folder", 0, 0)
    seen = walk(path, bounds)
    if not seen.found:
        raise ValidationError(
            f"The folder {path} holds only hidden files; put tables or documents into it.", field="folder"
        )
    blobs.root.mkdir(parents=True, exist_ok=True)
    shelf = _Shelf()
    with Engine(bounds, blobs.root) as engine, Child(bounds) as child:
        items = _distinct(list(_items(seen.found, engine, bounds, tell, should_stop)))
        found(frozenset(item.form.kind for item in items if not item.problem))
        outcomes = _outcomes(items, engine, child, tell, should_stop)
        for number, item in enumerate(items):
            _shelve(item, outcomes[number], shelf, blobs, knowledge_space)
    tell("Making the index", len(items), len(items))
    return _bound(path, knowledge_space, shelf, blobs, _remarks(seen.hidden, seen.beyond))


def _items(
    found: list[Found], engine: Engine, limits: Limits, tell: Progress, should_stop: Callable[[], bool]
) -> Iterator[_Item]:
    """Yield every file and every member of an archive, hashed and sniffed."""
    room = limits.folder_bytes
    for number, entry in enumerate(found):
        tell(f"Looking at {entry.name}", number, len(found))
        problem = entry.problem or _over(entry, number, room, limits) or (STOPPED if should_stop() else None)
        if problem:
            yield _Item(entry.name, None, entry.size, problem)
            continue
        item = _hashed(entry.name, entry.path, limits.file_bytes)
        room -= item.size
        if item.form.reader != "zip":
            yield item
            continue
        yield from _opened(item, engine, limits)


def _over(entry: Found, number: int, room: int, limits: Limits) -> str | None:
    if number >= limits.files:
        return f"The folder holds more than {limits.files} files; set KIMERA_MAX_FILES higher or divide the folder."
    if entry.size > limits.file_bytes:
        return (
            f"It has {entry.size >> 20} MB, over the limit of {limits.file_bytes >> 20} MB for one file; "
            "set KIMERA_MAX_FILE_BYTES higher or divide it."
        )
    if entry.size > room:
        return "The folder is over its size limit here; set KIMERA_MAX_FOLDER_BYTES higher or divide the folder."
    return None


def _hashed(name: str, path: Path, limit: int) -> _Item:
    sha256, size, problem = hash_file(path, limit)
    if problem:
        return _Item(name, None, size, problem)
    try:
        form = sniff(path, name)
    except OSError as refused:
        return _Item(name, None, size, f"It cannot be opened ({refused.strerror}); change its permissions.")
    return _Item(name, path, size, form.problem, sha256, form)


def _opened(archive: _Item, engine: Engine, limits: Limits) -> Iterator[_Item]:
    """Yield the archive itself and its members; archives inside it stay closed."""
    assert archive.path is not None
    inside: list[_Item] = []
    for member in members(archive.path, archive.name, limits, engine.scratch):
        if not member.name:
            archive.problem = member.problem if not inside else None
            archive.warnings = (*archive.warnings, member.problem or "")
        elif member.path is None:
            inside.append(_Item(member.name, None, member.size, member.problem))
        else:
            item = _hashed(member.name, member.path, limits.file_bytes)
            if item.form.reader == "zip":
                item.problem = "It is an archive inside an archive; unpack it into the folder to have it read."
            inside.append(item)
    yield archive
    yield from inside


def _distinct(items: list[_Item]) -> list[_Item]:
    """Return the items with identical files as one, named by the first name and ``also_named`` by the others."""
    first: dict[str, _Item] = {}
    kept = []
    for item in sorted(items, key=lambda one: one.name):
        if not item.sha256:
            # What was not opened has no bytes to be named by: its name stands in.
            item.sha256 = sha256_hex(b"unopened\0" + item.name.encode("utf-8", "surrogatepass"))
        if item.sha256 in first:
            twin = first[item.sha256]
            twin.also_named = (*twin.also_named, item.name)
            continue
        first[item.sha256] = item
        kept.append(item)
    return kept


def _outcomes(
    items: list[_Item], engine: Engine, child: Child, tell: Progress, should_stop: Callable[[], bool]
) -> dict[int, Outcome]:
    """Read every item; those for the child come last, so that it imports its readers while tables are read here."""
    child.warm(sorted({item.form.reader for item in items if not item.problem} & _WARMED))
    outcomes: dict[int, Outcome] = {}
    for number, item in sorted(enumerate(items), key=lambda pair: pair[1].form.reader in _WARMED):
        tell(f"Reading {item.name}", len(outcomes), len(items))
        outcomes[number] = _outcome(item, engine, child, should_stop)
    return outcomes


def _outcome(item: _Item, engine: Engine, child: Child, should_stop: Callable[[], bool]) -> Outcome:
    known = Outcome(problem=item.problem, warnings=list(item.warnings))
    if item.path is None or item.problem is not None or item.form.reader == "zip":
        return known
    if should_stop():
        return Outcome(problem=STOPPED)
    if item.form.reader == "image":
        return Outcome(problem=IMAGE)
    return read(item.path, item.name, item.form, engine, child)


def _shelve(item: _Item, outcome: Outcome, shelf: _Shelf, blobs: Blobs, space: str) -> None:
    """Put what was read of one item on the shelf: its source, tables and documents."""
    for table in outcome.tables:
        _add_table(table, item, shelf, blobs)
    dated, archived, title = date_in_name(item.name), is_archived(item.name, "", ""), ""
    for extracted in outcome.documents:
        document = _document(extracted, item, blobs)
        shelf.documents.append(document)
        shelf.texts.append(extracted.text)
        dated, title = document.dated, document.title
        archived = is_archived(item.name, title, extracted.text)
    status: Literal["read", "partly", "unread"] = (
        "unread" if outcome.problem else "partly" if outcome.partly else "read"
    )
    telemetry.metric("kimera_sources_read_total").bind(kind=item.form.kind, outcome=status).inc()
    shelf.sources.append(
        Source(
            id=item.sha256, name=item.name, also_named=item.also_named, kind=item.form.kind,
            media_type=item.form.media_type, size=item.size, knowledge_space=space,
            reader=outcome.reader if outcome.tables or outcome.documents else "",
            status=status,
            reason=outcome.problem or outcome.partly, warnings=tuple(filter(None, outcome.warnings)),
            dated=dated, archived=archived,
        )
    )  # fmt: skip


def _add_table(table: ReadTable, item: _Item, shelf: _Shelf, blobs: Blobs) -> None:
    """Move the table's Parquet file to the blobs and remember some values of its columns for the search of joins."""
    stem = PurePosixPath(item.name).stem
    shown = f"{stem} {table.part}" if table.part and _plain(table.part) not in _plain(stem) else stem
    alone = not table.part or table.recipe.rung == "sqlite"
    name = _identifier(table.part if table.recipe.rung == "sqlite" and table.part else stem if alone else shown)
    taken = {other.name for other in shelf.tables}
    number, unique = 2, name
    while unique in taken:
        unique, number = f"{name}_{number}", number + 1
    shelf.values.update({(unique, column): values for column, values in table.written.values.items()})
    shelf.tables.append(
        Table(
            name=unique, source_id=item.sha256, title=table.title or shown, rows=table.written.rows,
            columns=table.written.columns, data=blobs.put_file(table.written.path), recipe=table.recipe, digest="",
        )
    )  # fmt: skip


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def _identifier(text: str) -> str:
    """Return a SQL name for a file or sheet: lower-case letters, digits and underscores, no reserved word."""
    folded = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    name = re.sub(r"[^a-z0-9]+", "_", folded.lower()).strip("_")[:50].strip("_")
    if not name or name[0].isdigit():
        name = f"t_{name}".rstrip("_")
    return f"{name}_table" if name in _RESERVED or name == "t" else name


def _document(extracted: Extracted, item: _Item, blobs: Blobs) -> Document:
    stated = find_date("", "", f"Date: {extracted.stated_date}") if extracted.stated_date else None
    return Document(
        source_id=item.sha256, title=extracted.title, text=blobs.put(extracted.text.encode("utf-8")),
        length=len(extracted.text), page_breaks=extracted.page_breaks, headings=extracted.headings,
        dated=find_date(item.name, extracted.title, extracted.text) or stated,
    )  # fmt: skip


def _remarks(hidden: int, beyond: int) -> tuple[Degraded, ...]:
    remarks = []
    if hidden:
        remarks.append(Degraded(cause="hidden_files_skipped", text=f"{hidden} hidden files or folders were skipped."))
    if beyond:
        remarks.append(Degraded(cause="files_beyond_limit", text=f"{beyond} further files were not even listed."))
    return tuple(remarks)


def _bound(path: Path, space: str, shelf: _Shelf, blobs: Blobs, remarks: tuple[Degraded, ...]) -> Library:
    """Return the library: joins found, passages cut and indexed, older versions marked."""
    older = archived_names(source.name for source in shelf.sources)
    sources = [s.model_copy(update={"archived": True}) if s.name in older else s for s in shelf.sources]
    passages: list[Passage] = []
    quotes: list[str] = []
    for document, text in zip(shelf.documents, shelf.texts, strict=True):
        cut = cut_passages(document, text, len(passages))
        passages.extend(cut)
        quotes.extend(text[passage.start : passage.end] for passage in cut)
    passages = link_duplicates(passages, quotes)
    titles = {document.source_id: document.title for document in shelf.documents}
    segment = build_segment(zip(passages, quotes, strict=True), blobs, titles=titles) if passages else None
    return Library(
        knowledge_space=space, folder=str(path), sources=tuple(sources),
        tables=tuple(with_joins(shelf.tables, shelf.values)), documents=tuple(shelf.documents),
        passages=tuple(passages), segment=segment, degraded=remarks,
    )  # fmt: skip


def read_document_text(blobs: Blobs, document: Document) -> str:
    """Return the text all spans of ``document`` are offsets into. Raises `NotFoundError` when the blob is gone."""
    return blobs.get(document.text).decode("utf-8")


def source_path(folder: Path, name: str) -> Path:
    """Return the path of the file behind a source's name; of a member of an archive, the path of the archive.

    Names in a library are safe to print: unusual characters in them are escaped and are restored here.
    """
    path = raw_path(folder, name)
    parts = PurePosixPath(name).parts
    for count in range(1, len(parts)):
        outer = raw_path(folder, "/".join(parts[:count]))
        if outer.is_file():
            return outer
    return path


def read_table_again(path: Path, table: Table, blobs: Blobs, *, limits: Limits | None = None) -> Table:
    """Read one table of the file at ``path`` again by its recipe and store it; unchanged bytes give the same ``data``.

    ``path`` may be the archive that held the file: the member is then found by its bytes. Raises `NotFoundError` when
    the file or the table is not there any more.
    """
    bounds = limits or Limits()
    blobs.root.mkdir(parents=True, exist_ok=True)
    with Engine(bounds, blobs.root) as engine, Child(bounds) as child:
        item = _located(path, table.source_id, engine, bounds)
        assert item.path is not None
        try:
            found = table_again(item.path, item.form, table.recipe, engine, child)
        except Unreadable as gone:
            raise NotFoundError(f"{path.name}: {gone} Restore the file or run the mission again.") from gone
        data = blobs.put_file(found.written.path)
    names = [column.joins for column in table.columns]
    columns = tuple(
        column.model_copy(update={"joins": names[i] if i < len(names) else ()})
        for i, column in enumerate(found.written.columns)
    )
    again = table.model_copy(
        update={"rows": found.written.rows, "columns": columns, "data": data, "recipe": found.recipe}
    )
    return again.model_copy(update={"digest": digest(again)})


def read_text_again(path: Path, source: Source, *, limits: Limits | None = None) -> str:
    """Return the text of the document at ``path``, extracted as it was for the library.

    Raises `NotFoundError` when the file is gone or holds no text any more.
    """
    bounds = limits or Limits()
    with Engine(bounds) as engine, Child(bounds) as child:
        item = _located(path, source.id, engine, bounds, source.name)
        assert item.path is not None
        outcome = read(item.path, source.name, item.form, engine, child)
    if not outcome.documents:
        raise NotFoundError(
            f"{path.name}: {outcome.problem or 'It holds no text.'} Restore it or run the mission again."
        )
    return outcome.documents[0].text


def _located(path: Path, source_id: str, engine: Engine, limits: Limits, name: str | None = None) -> _Item:
    """Return the file at ``path``, or the member with the wanted bytes (else the wanted name) of the archive there."""
    item = _hashed(name or path.name, path, limits.file_bytes)
    if item.path is None:
        raise NotFoundError(f"{path}: {item.problem} Restore the file or run the mission again.")
    if item.form.reader != "zip":
        return item
    inside = [m for m in _opened(item, engine, limits) if m.path is not None and m is not item]
    inner = (name or "").rsplit("/", 1)[-1]
    for member in inside:
        if member.sha256 == source_id:
            return member
    for member in inside:
        if inner and member.name.rsplit("/", 1)[-1] == inner:
            return replace(member)
    raise NotFoundError(f"{path.name} does not hold the file any more; restore it or run the mission again.")
