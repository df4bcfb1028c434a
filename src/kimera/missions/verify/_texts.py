"""Reading every quotation again, character by character, from freshly extracted text."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import TYPE_CHECKING

from kimera.errors import KimeraError
from kimera.knowledge import read_text_again
from kimera.knowledge.contracts import Source, Span
from kimera.missions.contracts import TextClaim
from kimera.missions.verify._compare import numbers_in
from kimera.missions.verify._results import ClaimCheck, ClaimStatus
from kimera.storage.blobs import canonical_json, sha256_hex

if TYPE_CHECKING:
    from kimera.missions.verify._files import Shelf

__all__ = ["Texts", "check_text"]

RANK: tuple[ClaimStatus, ...] = (
    "ok",
    "changed_source",
    "different_value",
    "different_text",
    "missing_source",
    "failed",
)
"""Of several findings about one claim the last of these is its status."""


class Texts:
    """The texts of the sources, each extracted once, from the files as they are now."""

    def __init__(self, sources: Iterable[Source], shelf: Shelf) -> None:
        self._sources = {source.id: source for source in sources}
        self._shelf = shelf
        self._read: dict[str, str | KimeraError] = {}

    def source(self, source_id: str) -> Source | None:
        """Return the source with this id, if the report lists it."""
        return self._sources.get(source_id)

    @property
    def advice(self) -> str:
        """Return what to do about a file that is not there."""
        return self._shelf.advice

    def status(self, source_id: str) -> str:
        """Return where the file stands: same, moved, changed, missing; unlisted when the report does not name it."""
        source = self._sources.get(source_id)
        return self._shelf.place(source).status if source else "unlisted"

    def text(self, source_id: str) -> str | KimeraError:
        """Return the text of a source, or why it cannot be had."""
        if source_id not in self._read:
            self._read[source_id] = self._extract(self._sources[source_id])
        return self._read[source_id]

    def _extract(self, source: Source) -> str | KimeraError:
        path = self._shelf.place(source).path
        assert path is not None
        try:
            return read_text_again(path, source)
        except KimeraError as failure:
            return failure


def check_text(claim: TextClaim, texts: Texts) -> ClaimCheck:
    """Return whether every quotation of a claim stands where the claim says, and says what the claim says."""
    worst: tuple[ClaimStatus, str | None, str | None, str] = ("ok", None, None, "")
    for found in [*(_check_span(span, texts) for span in claim.spans), _check_statement(claim)]:
        if RANK.index(found[0]) > RANK.index(worst[0]):
            worst = found
    status, old, new, reason = worst
    named = [source.name for span in claim.spans if (source := texts.source(span.source_id))]
    return ClaimCheck(
        id=claim.id, kind="text", statement=claim.statement, status=status, old=old, new=new, reason=reason,
        sources=tuple(dict.fromkeys(named)),
    )  # fmt: skip


def _check_span(span: Span, texts: Texts) -> tuple[ClaimStatus, str | None, str | None, str]:
    if sha256_hex(span.quote.encode("utf-8", "surrogatepass")) != span.quote_sha256:
        return "different_text", span.quote, None, "The quotation in the report was edited: its hash does not fit."
    where = texts.status(span.source_id)
    if where == "unlisted":
        return "failed", span.quote, None, "The report does not list the file this quotation is from."
    if where == "missing":
        return "missing_source", span.quote, None, texts.advice
    text = texts.text(span.source_id)
    if isinstance(text, KimeraError):
        status: ClaimStatus = "different_text" if where == "changed" else "failed"
        return status, span.quote, None, text.message
    if text[span.start : span.end] == span.quote:
        changed = "The file changed; the quotation still stands at its place."
        return ("changed_source", None, None, changed) if where == "changed" else ("ok", None, None, "")
    if where == "changed" and span.quote in text:
        return "changed_source", None, None, "The file changed; the quotation stands at another place in it."
    now = text[span.start : span.end]
    return "different_text", span.quote, now, "The text at this place is another one now."


def _check_statement(claim: TextClaim) -> tuple[ClaimStatus, str | None, str | None, str]:
    """Compare the sentence with its quotations: its id if it is derived from it, and every number in it."""
    first = claim.spans[0]
    derived = "t_" + sha256_hex(canonical_json([first.source_id, first.start, first.end, claim.statement]))[:20]
    if claim.id.startswith("t_") and claim.id != derived:
        return (
            "different_text",
            claim.statement,
            first.quote,
            "The sentence or its place was edited: its id does not fit.",
        )
    quoted = unicodedata.normalize("NFKC", " ".join(span.quote for span in claim.spans))
    known = {number.value for number in numbers_in(quoted)}
    for number in numbers_in(unicodedata.normalize("NFKC", claim.statement)):
        if number.value not in known:
            return "different_value", number.text, None, f"The number {number.text} is in none of its quotations."
    return "ok", None, None, ""
