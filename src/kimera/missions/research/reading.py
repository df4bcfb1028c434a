"""What a phase reads: document texts, their sentences and the segment, opened anew for each phase."""

from __future__ import annotations

import bisect
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING

from kimera.knowledge import read_document_text
from kimera.knowledge.contracts import Document, Library, Passage, Source, Span
from kimera.knowledge.sentences import split
from kimera.missions.research.mentions import find_mentions, strip_dateline
from kimera.missions.research.words import lexical_share
from kimera.missions.research.worth import may_be_claim
from kimera.missions.track import TrackContext
from kimera.resilience import cached
from kimera.settings import load_settings
from kimera.storage.blobs import sha256_hex

if TYPE_CHECKING:
    from kimera.knowledge.retrieval import Segment
    from kimera.llm.embeddings import Encoder, Vectors

__all__ = ["Line", "Reading", "series_of"]

DENSE_SHARE = 0.05  # of the deadline may go into the first vectors of a folder
SECONDS_PER_PASSAGE = 0.035  # measured on one thread; only decides whether meaning is worth its time

_LEADING_PRONOUN = re.compile(
    r"^(?:he|she|it|they|this|these|that|those|its|his|her|their|such|both|the (?:former|latter|same))\b", re.I
)


@dataclass(frozen=True)
class Line:
    """A sentence that may become a claim: where it stands and what stands above it."""

    source_id: str
    passage: int
    start: int
    end: int
    heading: str
    text: str
    dated: str | None = None


class Reading:
    """One phase's view of the library; close it, or use it as a context manager."""

    def __init__(self, context: TrackContext, *, by_words_only: bool = False) -> None:
        self._by_words_only = by_words_only
        self.library: Library = context.library
        self._context = context
        self._texts: dict[str, str] = {}
        self._documents = {document.source_id: document for document in self.library.documents}
        self._sources = {source.id: source for source in self.library.sources}
        self._passages = {passage.number: passage for passage in self.library.passages}
        self._segment: Segment | None = None

    def __enter__(self) -> Reading:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._segment is not None:
            self._segment.close()

    @property
    def stopped(self) -> bool:
        """Return whether the mission was cancelled or is out of time."""
        return self._context.should_stop()

    def source(self, source_id: str) -> Source:
        """Return the source of a document."""
        return self._sources[source_id]

    def document(self, source_id: str) -> Document:
        """Return the document of a source."""
        return self._documents[source_id]

    def passage(self, number: int) -> Passage:
        """Return the passage with this number."""
        return self._passages[number]

    def text(self, source_id: str) -> str:
        """Return the text of a document; read once per phase."""
        if source_id not in self._texts:
            self._texts[source_id] = read_document_text(self._context.blobs, self._documents[source_id])
        return self._texts[source_id]

    @cached_property
    def encoder(self) -> Encoder | None:
        """Return the encoder, remembering each text's vector for this phase, or None without weights."""
        found = None if self._by_words_only else load_sentence_encoder()
        return None if found is None else _Remembering(found)

    @cached_property
    def segment(self) -> Segment:
        """Return the library's segment with the encoder."""
        from kimera.knowledge.index import open_segment

        self._segment = open_segment(
            self._context.blobs, self.library, self.encoder, should_stop=self._context.should_stop
        )
        return self._segment

    def find(self, query: str, k: int) -> list[Passage]:
        """Return up to ``k`` passages, best first, each followed by its near-duplicates: these may disagree."""
        affordable = SECONDS_PER_PASSAGE * len(self._passages) <= DENSE_SHARE * self._context.options.deadline
        meaning = self.encoder is not None and (affordable or self.segment.dense_ready)
        mode = "hybrid" if meaning else "lexical"
        found: dict[int, Passage] = {}
        for hit in self.segment.search(query, k, mode=mode):  # type: ignore[arg-type]
            first = self._passages[hit.number].duplicate_of
            kin = self._kin.get(hit.number if first is None else first, [hit.number])
            for number in [hit.number, *kin]:
                found.setdefault(number, self._passages[number])
        return list(found.values())

    @cached_property
    def _kin(self) -> dict[int, list[int]]:
        kin: dict[int, list[int]] = {}
        for passage in self.library.passages:
            if passage.duplicate_of is not None:
                kin.setdefault(passage.duplicate_of, [passage.duplicate_of]).append(passage.number)
        return kin

    def lines(self, passage: Passage) -> list[Line]:
        """Return the sentences of a passage that may become claims; an opening pronoun takes in the sentence before."""
        text = self.text(passage.source_id)
        found: list[Line] = []
        before: tuple[int, int] | None = None
        dated: str | None = None
        for first_character, last_character in split(text[passage.start : passage.end]):
            start, end = passage.start + first_character, passage.start + last_character
            dateline = strip_dateline(text[start : passage.end])
            dated = _dated(text[start : start + dateline]) or dated
            start = min(start + dateline, end)
            quote = text[start:end]
            if may_be_claim(quote, passage.heading):
                first = start
                if before and _LEADING_PRONOUN.match(quote) and not text[before[1] : start].strip():
                    first = before[0]
                text_of = _flat(text[first:end])
                found.append(Line(passage.source_id, passage.number, first, end, passage.heading, text_of, dated))
                before = (start, end)
            else:
                before = None
        return found

    def span(self, source_id: str, start: int, end: int) -> Span:
        """Return the span with its quote and, where the document has pages, its page."""
        quote = self.text(source_id)[start:end]
        breaks = self._documents[source_id].page_breaks
        page = bisect.bisect_right(breaks, start) + 1 if breaks else None
        return Span(
            source_id=source_id,
            start=start,
            end=end,
            quote=quote,
            quote_sha256=sha256_hex(quote.encode("utf-8", "surrogatepass")),
            page=page,
        )

    def score(self, query: str, lines: Sequence[Line]) -> list[float]:
        """Return the relevance of each line: the segment's score plus half the share of the question's words.

        The plain share helps because rarity says little in a folder of a few files; the heading's words count there.
        """
        ranked = self.segment.rank_sentences(query, [line.text for line in lines])
        shares = [lexical_share(query, f"{line.heading} {line.text}") for line in lines]
        return [value + 0.5 * part for value, part in zip(ranked, shares, strict=True)]


@cached(ttl=None, max_size=1)
def load_sentence_encoder() -> Encoder | None:
    """Load the weights once per process; the settings say where they are and whether they are wanted."""
    from kimera.llm.embeddings import load_encoder

    settings = load_settings()
    if settings.embeddings == "off":
        return None
    return load_encoder(settings.encoder_path, settings.home_path / "cache")[0]


class _Remembering:
    """An encoder that encodes each text once per phase."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._known: dict[str, Vectors] = {}
        self.id = encoder.id

    def encode(self, texts: Sequence[str]) -> Vectors:
        import numpy

        new = list(dict.fromkeys(text for text in texts if text not in self._known))
        if new:
            self._known.update(zip(new, self._encoder.encode(new), strict=True))
        if not texts:
            return self._encoder.encode(texts)
        return numpy.stack([self._known[text] for text in texts])


_STAMP = re.compile(
    r"(?:19|20)\d\d(?:[-_.]?[01]\d(?:[-_.]?[0-3]\d)?)?|\bv(?:ersion)?[-_. ]?\d+(?:\.\d+)*|\bq[1-4]\b|"
    r"\b(?:old|new|archived?|latest|current|draft|final)\b",
    re.I,
)


def series_of(name: str) -> str:
    """Return a file name without folder, date, version and words for age: equal for the vintages of one source."""
    plain = name.replace("\\", "/").rsplit("/", 1)[-1].rsplit(".", 1)[0].lower()
    return " ".join(re.sub(r"[\W_]+", " ", _STAMP.sub(" ", re.sub(r"[_]+", " ", plain))).split())


def _dated(dateline: str) -> str | None:
    dates = [mention.value for mention in find_mentions(dateline) if len(mention.value) == 10]
    return dates[0] if dates else None


def _flat(text: str) -> str:
    return " ".join(text.split())
