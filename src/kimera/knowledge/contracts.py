"""What the librarian hands on: sources, tables, documents, passages, spans. All frozen, all JSON-safe."""

from __future__ import annotations

from datetime import date
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "Column",
    "Degraded",
    "Document",
    "Frozen",
    "Heading",
    "Library",
    "Passage",
    "ReadRecipe",
    "Source",
    "Span",
    "Table",
]

Scalar = int | float | str | bool | None


class Frozen(BaseModel):
    """Base of every contract: no unknown fields, no change after construction, finite floats only."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, ser_json_inf_nan="null")


class Degraded(Frozen):
    """Why an answer is less than it could be. ``cause`` is lower_snake, ``text`` one sentence for a person."""

    cause: str
    text: str


class Source(Frozen):
    """One file as found. ``id`` is the sha256 of its bytes; ``name`` is its path inside the folder."""

    id: str
    name: str
    also_named: tuple[str, ...] = ()
    kind: Literal["table", "document", "image", "archive", "database", "other"]
    media_type: str = "application/octet-stream"
    size: int = 0
    knowledge_space: str = ""
    session_id: str | None = None
    reader: str = ""
    status: Literal["read", "partly", "unread"] = "read"
    reason: str | None = None
    warnings: tuple[str, ...] = ()
    integrity: Literal["untrusted", "verified", "user", "system"] = "untrusted"
    dated: date | None = None
    archived: bool = False


class ReadRecipe(Frozen):
    """How a table was read, in enough detail to read the same bytes again the same way."""

    rung: Literal["duckdb", "duckdb_lenient", "polars_lenient", "sniffer", "excel", "parquet", "json", "sqlite"]
    encoding: str | None = None
    delimiter: str | None = None
    quote: str | None = None
    decimal: str | None = None
    header_row: int | None = None
    title_lines: tuple[str, ...] = ()
    sheet: str | None = None
    relation: str | None = None
    rows_read: int = 0
    rows_dropped: int = 0
    notes: tuple[str, ...] = ()


class Column(Frozen):
    """One typed column. ``source_name`` is the header as written in the file, ``name`` the same made unique."""

    name: str
    source_name: str
    type: Literal["integer", "real", "text", "boolean", "date", "timestamp"]
    unit: str | None = None
    nulls: int = 0
    unique: int = 0
    minimum: Scalar = None
    maximum: Scalar = None
    examples: tuple[Scalar, ...] = ()
    joins: tuple[str, ...] = Field(default=(), description="Candidates in other tables, as table.column.")


class Table(Frozen):
    """A typed relation. ``data`` is the sha256 of its Parquet blob, ``name`` a SQL identifier unique in the library."""

    name: str
    source_id: str
    title: str
    rows: int
    columns: tuple[Column, ...]
    data: str
    recipe: ReadRecipe
    digest: str


class Heading(Frozen):
    """A heading of a document at character offset ``start``."""

    start: int
    level: int
    text: str


class Document(Frozen):
    """Text of one source, normalised once (NFC). ``text`` is the sha256 of its UTF-8 blob; offsets are characters."""

    source_id: str
    title: str
    text: str
    length: int
    page_breaks: tuple[int, ...] = ()
    headings: tuple[Heading, ...] = ()
    dated: date | None = None


class Passage(Frozen):
    """A run of sentences of one document, ``[start, end)`` in characters; ``number`` is its row in the index."""

    number: int
    source_id: str
    start: int
    end: int
    heading: str = ""
    previous: int | None = None
    next: int | None = None
    duplicate_of: int | None = None


class Span(Frozen):
    """An exact piece of a document's text: ``text[start:end] == quote``. Page counts from 1."""

    source_id: str
    start: int
    end: int
    quote: str
    quote_sha256: str
    page: int | None = None
    cell: str | None = None


class Library(Frozen):
    """Everything read from one folder, once. Its canonical JSON names it: same folder, same library."""

    schema_version: Literal[1] = 1
    knowledge_space: str
    folder: str
    sources: tuple[Source, ...]
    tables: tuple[Table, ...]
    documents: tuple[Document, ...]
    passages: tuple[Passage, ...] = ()
    segment: str | None = None
    degraded: tuple[Degraded, ...] = ()

    def source(self, source_id: str) -> Source:
        """Return the source with this id; KeyError if there is none."""
        for source in self.sources:
            if source.id == source_id:
                return source
        raise KeyError(source_id)

    def table(self, name: str) -> Table:
        """Return the table with this name; KeyError if there is none."""
        for table in self.tables:
            if table.name == name:
                return table
        raise KeyError(name)

    def as_json(self) -> dict[str, Any]:
        """Return JSON-safe data that `Library.model_validate` reads back."""
        return self.model_dump(mode="json")
