"""The description as a page: made on the server from the OpenAPI document, readable without a script."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["render_page"]

Document = dict[str, Any]
DEPTH = 3


def render_page(document: Document) -> str:
    """Return the whole page; every text of the document is escaped by the template engine."""
    schemas = document.get("components", {}).get("schemas", {})
    operations = _operations(document)
    words = {tag["name"]: tag["description"] for tag in document["tags"]}
    found = [name for one in operations for name in one["tags"]]
    groups = [
        {
            "name": name,
            "id": name.replace(" ", "-"),
            "words": words.get(name, ""),
            "operations": [one for one in operations if name in one["tags"]],
        }
        for name in dict.fromkeys([*words, *found])  # those that the document describes first, in its order
        if name in found
    ]
    answers = document["components"]["responses"]
    page = _environment().get_template("page.html.j2")
    return page.render(
        info=document["info"],
        about=_paragraphs(document["info"]["description"]),
        groups=groups,
        problems=[(name.removeprefix("Problem"), one["description"]) for name, one in answers.items() if name[7:]],
        fields=_fields(schemas["Problem"], schemas),
    )


def _operations(document: Document) -> list[Document]:
    schemas = document["components"]["schemas"]
    found = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            body = operation.get("requestBody", {}).get("content", {})
            found.append(
                {
                    "id": operation["operationId"],
                    "method": method.upper(),
                    "path": path,
                    "summary": operation["summary"],
                    "words": _paragraphs(operation.get("description", "")),
                    "scope": operation["x-scope"],
                    "tags": operation["tags"],
                    "parameters": [_parameter(one) for one in operation.get("parameters", [])],
                    "bodies": [(kind, _fields(one["schema"], schemas)) for kind, one in body.items()],
                    "answers": _answers(operation, schemas),
                    "problems": [
                        code for code, one in operation["responses"].items() if "$ref" in one and code != "default"
                    ],
                    "curl": _curl(method, path, operation, schemas),
                }
            )
    return found


def _parameter(one: Document) -> Document:
    schema = one["schema"]
    return {
        "name": one["name"],
        "place": one["in"],
        "kind": _kind(schema),
        "required": one.get("required", False),
        "words": one.get("description", ""),
        "default": _shown(schema.get("default")),
    }


def _shown(default: Any) -> Any:
    """Return a default as a person writes it; None and empty lists are no default worth showing."""
    if isinstance(default, list):
        return ", ".join(map(str, default)) or None
    return default


def _answers(operation: Document, schemas: Document) -> list[Document]:
    found = []
    for code, one in operation["responses"].items():
        if "$ref" in one:
            continue
        content = one.get("content", {})
        shown = [_fields(entry["schema"], schemas) for entry in content.values() if "$ref" in entry.get("schema", {})]
        kinds = ", ".join(content)
        found.append({"code": code, "words": one["description"], "kinds": kinds, "fields": shown[0] if shown else []})
    return found


def _fields(schema: Document, schemas: Document, prefix: str = "", depth: int = DEPTH) -> list[Document]:
    """Return one row per field of an object, those of objects inside it under their dotted names."""
    schema = _resolved(schema, schemas)
    rows = []
    for name, one in schema.get("properties", {}).items():
        row = {
            "name": f"{prefix}{name}",
            "kind": _kind(one),
            "required": name in schema.get("required", ()),
            "words": one.get("description", ""),
            "default": _shown(one.get("default")),
        }
        rows.append(row)
        inner, mark = _inside(one, schemas)
        if inner is not None and depth > 1:
            rows += _fields(inner, schemas, f"{prefix}{name}{mark}.", depth - 1)
    return rows


def _inside(schema: Document, schemas: Document) -> tuple[Document | None, str]:
    """Return the object a field holds, or a list of it holds, and how that is written."""
    for one in (schema, *schema.get("anyOf", ())):
        if "$ref" in one:
            found = _resolved(one, schemas)
            return (found, "") if "properties" in found else (None, "")
        if one.get("type") == "array" and "$ref" in one.get("items", {}):
            return _resolved(one["items"], schemas), "[]"
    return None, ""


def _resolved(schema: Document, schemas: Document) -> Document:
    reference = schema.get("$ref")
    return schemas[reference.rsplit("/", 1)[-1]] if reference else schema


def _kind(schema: Document) -> str:
    """Return a type as a person would say it, with its limits."""
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1].removesuffix("View")
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(one) for one in schema["anyOf"] if one.get("type") != "null"))
    if "enum" in schema or "const" in schema:
        return " | ".join(map(str, schema.get("enum", [schema.get("const")])))
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    words = {"integer": "whole number", "string": "text", "boolean": "true | false", "object": "object"}
    kind = schema.get("format") or words.get(schema.get("type", ""), schema.get("type", "anything"))
    return f"{kind}{_limits(schema)}"


def _limits(schema: Document) -> str:
    low, high = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum")
    if low is not None or high is not None:
        return f", {'…' if low is None else f'{low:g}'} to {'…' if high is None else f'{high:g}'}"
    if "maxLength" in schema:
        return f", at most {schema['maxLength']} characters"
    return ""


def _curl(method: str, path: str, operation: Document, schemas: Document) -> str:
    """Return a command that asks this, to be pasted and filled in."""
    parts = ["curl", '-H "Authorization: Bearer $KEY"'] if operation["x-scope"] != "public" else ["curl"]
    if operation["responses"].get("200", {}).get("content", {}).keys() & {"text/event-stream"}:
        parts.insert(1, "-N")
    if method != "get":
        parts.append(f"-X {method.upper()}")
    body = operation.get("requestBody", {}).get("content", {})
    if "multipart/form-data" in body:
        parts += ["-F question='Which factors go with body mass?'", "-F files=@measurements.csv", "-F files=@notes.pdf"]
    elif "application/json" in body:
        example = _example(body["application/json"]["schema"], schemas)
        parts += ["-H 'Content-Type: application/json'", f"-d '{json.dumps(example, ensure_ascii=False)}'"]
    address = path.replace("{mission_id}", "$MISSION").replace("{sha256}", "$SHA256")
    return " \\\n  ".join([*parts, f'"http://127.0.0.1:8000{address}"'])


def _example(schema: Document, schemas: Document) -> Any:
    schema = _resolved(schema, schemas)
    if schema.get("examples"):
        return schema["examples"][0]
    if "anyOf" in schema:
        return _example(schema["anyOf"][0], schemas)
    return {
        name: (one.get("examples") or [one.get("default")])[0]
        for name, one in schema.get("properties", {}).items()
        if name in schema.get("required", ())
    }


def _paragraphs(text: str) -> list[list[tuple[str, str]]]:
    """Return paragraphs as runs of (sort, text): the few marks that our texts use, `code` and **strong**."""
    return [_runs(" ".join(part.split())) for part in text.strip().split("\n\n")]


def _runs(text: str) -> list[tuple[str, str]]:
    runs = []
    for number, piece in enumerate(text.split("`")):
        if number % 2:
            runs.append(("code", piece))
            continue
        for inner, words in enumerate(piece.split("**")):
            if words:
                runs.append(("strong" if inner % 2 else "plain", words.replace("*", "")))
    return runs


def _read(name: str) -> str:
    return (resources.files("kimera.api.reference") / name).read_text("utf-8")


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    return Environment(
        loader=FunctionLoader(_read), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
