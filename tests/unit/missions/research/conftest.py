"""A librarian in ten lines: texts become documents and passages, so that the track can be tested by itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest

from kimera import settings
from kimera.knowledge.contracts import Document, Heading, Library, Passage, Source
from kimera.knowledge.index import build_segment
from kimera.missions.contracts import MissionOptions, ResearchEvidencePackage
from kimera.missions.research import reading
from kimera.missions.research.track import TRACK
from kimera.missions.track import TrackContext
from kimera.storage import Blobs, sha256_hex

Run = Callable[..., ResearchEvidencePackage]
_HEADING = re.compile(r"^(#+) (.+)$", re.M)


@pytest.fixture(autouse=True)
def words_only(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Switch the encoder off: unit tests need no weights and write nothing into a home folder."""
    monkeypatch.setenv("KIMERA_EMBEDDINGS", "off")
    settings.load_settings.cache_clear()
    reading.load_sentence_encoder.clear()
    yield
    settings.load_settings.cache_clear()
    reading.load_sentence_encoder.clear()


def library_of(blobs: Blobs, texts: dict[str, str], **facts: dict[str, Any]) -> Library:
    """Return the library of named texts; ``facts`` gives further fields of a source by its name."""
    sources, documents, passages = [], [], []
    for name, text in texts.items():
        digest = sha256_hex(f"{name}\n{text}".encode())
        year = re.search(r"(?:19|20)\d\d", name)
        dated = date(int(year.group()), 12, 31) if year else None
        sources.append(Source(id=digest, name=name, kind="document", dated=dated, **facts.get(name, {})))
        heads = [Heading(start=m.start(), level=len(m[1]), text=m[2]) for m in _HEADING.finditer(text)]
        documents.append(
            Document(
                source_id=digest,
                title=heads[0].text if heads else name,
                text=blobs.put(text.encode()),
                length=len(text),
                headings=tuple(heads),
            )
        )
        for start, end in _blocks(text):
            above = [head.text for head in heads if head.start <= start]
            passages.append(
                Passage(
                    number=len(passages), source_id=digest, start=start, end=end, heading=above[-1] if above else ""
                )
            )
    texts_by_id = {s.id: texts[s.name] for s in sources}
    pairs = [(p, texts_by_id[p.source_id][p.start : p.end]) for p in passages]
    return Library(
        knowledge_space="test",
        folder="folder",
        sources=tuple(sources),
        tables=(),
        documents=tuple(documents),
        passages=tuple(passages),
        segment=build_segment(pairs, blobs) if pairs else None,
    )


def _blocks(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in re.finditer(r"(?:(?!#)\S.*\n?)+", text)]


def context_of(blobs: Blobs, library: Library, question: str, **parts: Any) -> TrackContext:
    """Return the context of one attempt over ``library``."""
    return TrackContext(
        mission_id="m1",
        session_id="s1",
        knowledge_space="test",
        attempt=1,
        question=question,
        options=MissionOptions(),
        library=library,
        blobs=blobs,
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
        **parts,
    )


@pytest.fixture
def research(blobs: Blobs) -> Run:
    """Return a function that runs the whole track over named texts and returns its package."""

    def run(question: str, texts: dict[str, str], **facts: Any) -> ResearchEvidencePackage:
        context = context_of(blobs, library_of(blobs, texts, **facts), question)
        state: dict[str, Any] = {}
        for phase in TRACK.phases:
            state = phase.run(context, state)
        return ResearchEvidencePackage.model_validate(state["package"])

    return run
