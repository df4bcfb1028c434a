"""Text from models and files as HTML that loads nothing and runs nothing, and cells that no spreadsheet executes."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlsplit

from kimera.guardian.checks.findings import Hit, hit

__all__ = ["csv_cell", "render"]

TAGS = frozenset(
    [
        "p",
        "a",
        "em",
        "strong",
        "code",
        "pre",
        "ul",
        "ol",
        "li",
        "blockquote",
        "table",
        "thead",
        "tbody",
        "tr",
        "td",
        "th",
        "h1",
        "h2",
        "h3",
        "h4",
        "hr",
        "br",
        "img",
    ],
)
ATTRIBUTES = {"a": {"href"}, "img": {"src", "alt"}}
ARTIFACT_PATH = re.compile(r"/api/artifacts/[A-Za-z0-9._-]+(?:/[A-Za-z0-9._-]+)*")
HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
ACTIVE = re.compile(r"<\s*(?:script|iframe|object|embed|svg|math|form|style|link|meta|base)\b|\bon\w+\s*=|javascript:")
FORMULA = re.compile("^[\\s\"'\u00a0\u200b\ufeff]*[=+\\-@\\t\\r\uff1d\uff0b\uff0d\uff20]|^[\\t\\r]")

NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?%?")


def render(markdown: str) -> tuple[str, list[Hit]]:
    """Return (html, findings) of untrusted CommonMark with tables: no raw HTML, no style, no remote content.

    Links go to https hosts, to ``#`` anchors or to our own artefacts, images only to artefacts. REMOTE_CONTENT is
    reported where an image or link was refused, ACTIVE_CONTENT where the text holds script-like markup.
    """
    import nh3
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    raw = parser.render(markdown)
    findings = [hit("ACTIVE_CONTENT", markdown, *m.span()) for m in ACTIVE.finditer(markdown.lower())]
    findings += [hit("REMOTE_CONTENT", markdown, 0, len(markdown))] * len(_refused(raw))
    html = nh3.clean(
        raw,
        tags=set(TAGS),
        attributes={tag: set(names) for tag, names in ATTRIBUTES.items()},
        attribute_filter=_keep,
        url_schemes={"https"},
        link_rel="noopener noreferrer nofollow",
        strip_comments=True,
    )
    return html, findings


def csv_cell(value: Any) -> Any:
    """Return ``value`` safe for a CSV or XLSX cell: ``'`` before text that a spreadsheet would run; numbers stay."""
    if isinstance(value, str) and FORMULA.match(value) and not NUMBER.fullmatch(value):
        return "'" + value
    return value


def _keep(tag: str, name: str, value: str) -> str | None:
    if (tag, name) == ("img", "src"):
        return value if _is_artifact(value) else None
    if (tag, name) == ("a", "href"):
        return value if _is_link(value) else None
    return value


def _is_artifact(address: str) -> bool:
    return bool(ARTIFACT_PATH.fullmatch(address)) and ".." not in address


def _is_link(address: str) -> bool:
    if address.startswith("#") or _is_artifact(address):
        return True
    if not address.startswith("https://") or re.search(r"[\s\\\x00-\x1f]", address):
        return False
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    return "@" not in parts.netloc and bool(HOST.fullmatch(parts.hostname or ""))


class _Addresses(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.refused: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if (tag, name) in {("img", "src"), ("a", "href")} and _keep(tag, name, value or "") is None:
                self.refused.append(value or "")


def _refused(html: str) -> list[str]:
    parser = _Addresses()
    parser.feed(html)
    return parser.refused
