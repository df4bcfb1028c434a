"""Uploads: the parts of a multipart body go straight to files in the home, counted and checked on the way."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import ExitStack
from typing import Any

import pydantic
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from kimera.api.missions.models import Wishes
from kimera.errors import TooLarge, UnsupportedMedia, ValidationError
from kimera.missions.control.uploads import Upload, Writer

__all__ = ["receive", "upload_body"]

BATCH = 256 << 10  # bytes handed to the thread that parses and writes at once
FIELDS = 16
FIELD_BYTES = 16 << 10
MANY = frozenset({"tracks"})

FILES: dict[str, Any] = {
    "type": "array",
    "minItems": 1,
    "items": {"type": "string", "format": "binary"},
    "description": "Tables, documents, or a zip of them; send the part once per file.",
}


def upload_body() -> dict[str, Any]:
    """Return the description of the body: the fields of a mission without a folder, as form fields, and the files."""
    schema = Wishes.model_json_schema()
    fields = {name: _form_field(one) for name, one in schema["properties"].items()}
    shape = schema | {"properties": fields | {"files": FILES}, "required": ["question", "files"]}
    return {"required": True, "content": {"multipart/form-data": {"schema": shape}}}


def _form_field(one: dict[str, Any]) -> dict[str, Any]:
    """Return a field's schema without null and empty lists, which a form cannot say: it leaves the field out."""
    choices = [choice for choice in one.get("anyOf", []) if choice.get("type") != "null"]
    rest = {name: value for name, value in one.items() if name not in {"anyOf", "default"} or value is not None}
    for unsaid in ("anyOf", "minItems"):
        rest.pop(unsaid, None)
    return rest | (choices[0] if choices else {})


async def receive(request: Request, upload: Upload) -> tuple[Wishes, str]:
    """Read the body into ``upload``; return what is asked of the mission, and the sha256 of fields and files.

    The boundary between the parts is not in the hash: clients choose a new one each time they send the same.

    Raises `ValidationError` for a body that is no such upload or a file that is refused, `TooLarge` beyond a limit.
    """
    form = _Form(upload)
    parser = _parser(request, form)
    try:
        async for batch in _batches(request):
            await asyncio.to_thread(_feed, parser, batch)
        await asyncio.to_thread(form.finish)
    finally:
        form.close()
    return form.wishes(), form.digest()


async def _batches(request: Request) -> Any:
    """Yield the body in pieces large enough to be worth a thread."""
    waiting = bytearray()
    async for chunk in request.stream():
        waiting += chunk
        if len(waiting) >= BATCH:
            yield bytes(waiting)
            waiting.clear()
    if waiting:
        yield bytes(waiting)


def _parser(request: Request, form: _Form) -> MultipartParser:
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data":
        raise UnsupportedMedia("Send the question and the files as multipart/form-data.")
    if not 0 < len(boundary) <= 200:
        raise _wrong("its Content-Type names no boundary")
    return MultipartParser(
        boundary,
        {
            "on_part_begin": form.begin,
            "on_header_field": form.header_name,
            "on_header_value": form.header_value,
            "on_header_end": form.header_end,
            "on_headers_finished": form.headers_end,
            "on_part_data": form.data,
            "on_part_end": form.end,
            "on_end": form.over,
        },
    )


def _feed(parser: MultipartParser, batch: bytes) -> None:
    try:
        parser.write(batch)
    except FormParserError as broken:
        raise _wrong("it is not in the form its Content-Type says") from broken


def _wrong(why: str) -> ValidationError:
    return ValidationError(f"The upload cannot be read: {why}.", error_code="UPLOAD_INVALID", http_status=400)


class _Form:
    """The parts of one body, in order; the parser calls these. Everything here runs in a thread."""

    def __init__(self, upload: Upload) -> None:
        self._upload = upload
        self._open = ExitStack()
        self._writer: Writer | None = None
        self._field: str | None = None
        self._name, self._value = bytearray(), bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._text = bytearray()
        self._fields: dict[str, Any] = {}
        self._count = 0
        self._whole = False
        self._hash = hashlib.sha256()

    def begin(self) -> None:
        """Begin a part."""
        self._headers, self._field, self._writer = {}, None, None
        self._text.clear()

    def header_name(self, data: bytes, start: int, end: int) -> None:
        """Take a piece of a header's name."""
        self._name += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        """Take a piece of a header's value."""
        self._value += data[start:end]

    def header_end(self) -> None:
        """Keep a header."""
        self._headers[bytes(self._name).lower()] = bytes(self._value)
        self._name.clear()
        self._value.clear()

    def headers_end(self) -> None:
        """Decide what the part is: a file of `files`, or a field."""
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if b"filename" in options:
            if name != "files":
                raise _wrong(f"files go into parts named files, not {name[:40]!r}")
            said = options[b"filename"].decode("utf-8", "replace")
            self._hash.update(repr(("file", said)).encode("utf-8", "backslashreplace"))
            self._writer = self._open.enter_context(self._upload.file(said))
            return
        self._count += 1
        if self._count > FIELDS:
            raise TooLarge(f"An upload has at most {FIELDS} fields beside its files.", limit=FIELDS)
        self._field = name

    def data(self, data: bytes, start: int, end: int) -> None:
        """Take a piece of the part."""
        if self._writer is not None:
            self._writer.write(data[start:end])
            self._hash.update(data[start:end])
            return
        self._text += data[start:end]
        if len(self._text) > FIELD_BYTES:
            raise TooLarge(f"A field has at most {FIELD_BYTES} bytes.", limit=FIELD_BYTES)

    def end(self) -> None:
        """End the part; a file is judged as soon as it is whole."""
        if self._writer is not None:
            self._open.close()
            self._upload.judge()
        elif self._field is not None:
            self._keep(self._field, _text(bytes(self._text), self._field))

    def over(self) -> None:
        """Note that the last boundary was seen."""
        self._whole = True

    def finish(self) -> None:
        """Check that the body came to its end and held files."""
        if not self._whole:
            raise _wrong("it breaks off before its last boundary")
        if not self._upload.names:
            raise ValidationError("The upload holds no file; send at least one part named files.", "files")

    def close(self) -> None:
        """Close what is open."""
        self._open.close()

    def wishes(self) -> Wishes:
        """Return what the fields ask for; raises what the framework raises for a body of the wrong form."""
        try:
            return Wishes.model_validate(self._fields)
        except pydantic.ValidationError as wrong:
            raise RequestValidationError(
                [one | {"loc": ("body", *one["loc"])} for one in wrong.errors(include_url=False, include_input=False)]
            ) from wrong

    def digest(self) -> str:
        """Return the sha256 of what came: fields and files, in order."""
        return self._hash.hexdigest()

    def _keep(self, name: str, text: str) -> None:
        self._hash.update(repr(("field", name, text)).encode("utf-8", "backslashreplace"))
        if name in MANY:
            self._fields.setdefault(name, []).append(text)
        elif name in self._fields:
            raise _wrong(f"the field {name[:40]!r} is there twice")
        else:
            self._fields[name] = text


def _text(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise _wrong(f"the field {name[:40]!r} is not UTF-8") from None
