"""Does a report still hold? Hashes compared, quotations read again, computations run again, on the files as they are.

The report is data from wherever it came from. Its code runs only in the sandbox: code of a report from a file counts as
a stranger's code, whatever the report says about it; code of a mission in the home may run at the level it already ran.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kimera.errors import NotFoundError, ValidationError
from kimera.knowledge import build_library
from kimera.knowledge.contracts import Library
from kimera.missions.contracts import Computation, Finding, MissionOutcomePackage, NumberClaim, Source, TextClaim
from kimera.missions.verify._bundle import open_bundle
from kimera.missions.verify._compare import numbers_in
from kimera.missions.verify._files import Shelf
from kimera.missions.verify._numbers import Rerun, Tables, check_number, rerun
from kimera.missions.verify._results import (
    ClaimCheck,
    ComputationCheck,
    Row,
    SourceCheck,
    Verification,
    render_table,
)
from kimera.missions.verify._texts import Texts, check_text
from kimera.sandbox import Limits, Session
from kimera.storage.blobs import Blobs

__all__ = [
    "ClaimCheck",
    "ComputationCheck",
    "Row",
    "SourceCheck",
    "Verification",
    "render_table",
    "verify",
    "verify_file",
]


PATIENT = Limits(wall=180.0, cpu=90)
"""What a computation may take here: three times what it had in the mission, for slower machines."""


def _go_on() -> bool:
    return False


def verify(
    outcome: MissionOutcomePackage,
    *,
    library: Library | None = None,
    blobs: Blobs | None = None,
    folder: Path | None = None,
    should_stop: Callable[[], bool] = _go_on,
    from_home: bool = False,
    allow_code: bool = False,
    session: Session | None = None,
) -> Verification:
    """Return claim by claim whether a report holds on the files in ``folder`` now.

    ``library`` says how the tables were read; without it ``blobs`` is asked for `outcome.library`, else the folder is
    read from scratch. Pass ``from_home=True`` for an outcome that this home's own database holds. Code that may not
    run on this host fails its claims with the reason; ``allow_code`` runs it all the same. Raises `MissionCancelled`
    when ``should_stop`` turns true. ``session`` is a worker to use instead of a new one, for several reports in a row.
    """
    folders = [folder] if folder is not None else []
    return _verify(outcome, library, blobs, folders, should_stop, from_home, allow_code, session, ())


def verify_file(
    path: Path,
    folder: Path | None = None,
    blobs: Blobs | None = None,
    *,
    should_stop: Callable[[], bool] = _go_on,
    allow_code: bool = False,
    session: Session | None = None,
) -> Verification:
    """Verify a report.json or an exported zip, from this machine or another.

    Files are looked up in ``folder``, then among the sources inside the zip. Nothing in the report is trusted: see
    docs/verify.md. Raises `NotFoundError`, or `ValidationError` for something that is no report or breaks a limit.
    """
    with tempfile.TemporaryDirectory(prefix="kimera-verify-") as work:
        bundle = open_bundle(path, Path(work))
        folders = [place for place in (folder, bundle.sources) if place is not None]
        return _verify(
            bundle.outcome, bundle.library, blobs, folders, should_stop, False, allow_code, session, bundle.problems
        )


def _verify(
    outcome: MissionOutcomePackage,
    library: Library | None,
    blobs: Blobs | None,
    folders: list[Path],
    should_stop: Callable[[], bool],
    from_home: bool,
    allow_code: bool,
    session: Session | None,
    problems: tuple[str, ...],
) -> Verification:
    begin = time.monotonic()
    shelf = Shelf(folders)

    def trusted(computation: Computation) -> bool:
        return _may_run(computation, from_home=from_home, allow_code=allow_code)

    with _workplace(outcome, session, should_stop) as (worker, fresh):
        places = [(source, shelf.place(source)) for source in outcome.sources]
        texts = Texts(outcome.sources, shelf)
        checks = {c.id: check_text(c, texts) for c in outcome.claims if isinstance(c, TextClaim)}
        tables = Tables(outcome, _library(outcome, library, blobs, folders, fresh), shelf, fresh)
        again: dict[str, Rerun] = {}
        if worker is not None:
            again = {r.computation.id: r for r in rerun(outcome.computations, tables, worker, trusted, should_stop)}
        for claim in outcome.claims:
            if isinstance(claim, NumberClaim):
                checks[claim.id] = check_number(claim, again.get(claim.computation_id), tables)
    return Verification(
        mission_id=outcome.mission_id,
        version=outcome.version,
        question=outcome.question,
        claims=tuple(checks[claim.id] for claim in outcome.claims),
        sources=tuple(
            SourceCheck(source_id=s.id, name=s.name, status=p.status, found=p.name or None, sha256=p.sha256)
            for s, p in places
        ),
        computations=tuple(again[c.id].as_check() for c in outcome.computations if c.id in again),
        problems=(*problems, *_faults(outcome)),
        seconds=round(time.monotonic() - begin, 3),
    )


def _may_run(computation: Computation, *, from_home: bool, allow_code: bool) -> bool:
    """Return whether a computation may run at any isolation level; all others need the configured minimum.

    What ran at level none in this home was our own template: generated code would have been refused then.
    """
    return allow_code or (from_home and computation.sandbox_level == "none")


@contextmanager
def _workplace(
    outcome: MissionOutcomePackage, given: Session | None, should_stop: Callable[[], bool]
) -> Iterator[tuple[Session | None, Blobs]]:
    """Yield a fresh worker, already starting while the quotations are read, and a place for the tables."""
    with tempfile.TemporaryDirectory(prefix="kimera-verify-") as work:
        fresh = Blobs(Path(work))
        if given is not None or not outcome.computations:
            yield given, fresh
            return
        with Session(PATIENT, should_stop) as session:
            yield session, fresh


def _library(
    outcome: MissionOutcomePackage, library: Library | None, blobs: Blobs | None, folders: list[Path], fresh: Blobs
) -> Library:
    """Return how the folder was read: as given, as stored, or by reading it again."""
    if library is not None:
        return library
    if blobs is not None and outcome.library is not None:
        try:
            return Library.model_validate(blobs.get_json(outcome.library))
        except (NotFoundError, ValueError):
            pass  # the home was emptied; the folder itself still says it
    space = outcome.knowledge_space
    if outcome.computations and folders:
        try:
            return build_library(folders[0], fresh, knowledge_space=space)
        except ValidationError:
            pass  # an empty or missing folder: every source is reported as missing
    return Library(knowledge_space=space, folder=outcome.folder, sources=(), tables=(), documents=())


def _faults(outcome: MissionOutcomePackage) -> Iterator[str]:
    """Yield what does not fit together inside the report: sentences without claims, ids that occur twice."""
    groups: dict[str, tuple[Source | Computation | TextClaim | NumberClaim, ...]] = {
        "source": outcome.sources,
        "computation": outcome.computations,
        "claim": outcome.claims,
    }
    for kind, members in groups.items():
        for name, count in sorted(Counter(member.id for member in members).items()):
            if count > 1:
                yield f"The {kind} {name} is listed {count} times."
    statements = {claim.id: claim for claim in outcome.claims}
    for finding in (*outcome.summary, *outcome.findings):
        yield from _sentence_faults(finding, statements)
    linked = [("conflict", c.claims) for c in outcome.conflicts] + [("agreement", a.claims) for a in outcome.agreements]
    linked += [("chart", (chart.claim_id,)) for chart in outcome.charts]
    for kind, names in linked:
        for name in names:
            if name not in statements:
                yield f"A {kind} names the claim {name}, which is not in the report."


def _sentence_faults(finding: Finding, claims: dict[str, TextClaim | NumberClaim]) -> Iterator[str]:
    missing = [name for name in finding.claims if name not in claims]
    if missing:
        yield f"A sentence rests on claims that are not in the report ({', '.join(missing)}): {finding.text[:80]!r}."
        return
    said = {number.value for name in finding.claims for number in numbers_in(claims[name].statement)}
    for number in numbers_in(finding.text):
        if number.value not in said:
            yield f"The number {number.text} of a sentence is in none of its claims: {finding.text[:80]!r}."
