"""How many edits of a report `verify` catches: one digit of a sentence, or a stated value, at a time.

Sizes: every number of every claim of one exported report, three edits each. Run, after `kimera export ID --format zip`:
python benchmarks/verify_edits.py export.zip --data FOLDER [--json]
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from pathlib import Path

from kimera.missions.contracts import NumberClaim, TextClaim
from kimera.missions.verify import verify_file
from kimera.missions.verify._bundle import open_bundle
from kimera.missions.verify._compare import Written, numbers_in
from kimera.missions.verify._files import Shelf
from kimera.missions.verify._numbers import Rerun, Tables, check_number, rerun
from kimera.missions.verify._texts import Texts, check_text
from kimera.sandbox import Session
from kimera.storage.blobs import Blobs

FACTORS = (1.01, 1.001, 0.999, -1, 10)


def edited(text: str, number: Written, chance: random.Random) -> str:
    """Return the text with one digit of one of its numbers replaced by another digit."""
    place = chance.choice([index for index, character in enumerate(number.text) if character.isdigit()]) + number.start
    other = chance.choice([digit for digit in "0123456789" if digit != text[place]])
    return text[:place] + other + text[place + 1 :]


def measure(report: Path, folder: Path) -> dict[str, float]:
    """Verify the report as it is, then each edit of it."""
    begin = time.perf_counter()
    whole = verify_file(report, folder)
    seconds = time.perf_counter() - begin
    counts = {"claims": len(whole.claims), "computations": len(whole.computations), "accused": len(whole.affected)}
    counts |= dict.fromkeys(("digit_edits", "digit_edits_caught", "value_edits", "value_edits_caught"), 0)
    with tempfile.TemporaryDirectory() as work, Session() as session:
        bundle = open_bundle(report, Path(work))
        assert bundle.library is not None
        shelf = Shelf([folder])
        texts = Texts(bundle.outcome.sources, shelf)
        tables = Tables(bundle.outcome, bundle.library, shelf, Blobs(Path(work, "blobs")))
        runs = rerun(bundle.outcome.computations, tables, session, lambda _: False, lambda: False)
        again = {run.computation.id: run for run in runs}
        chance = random.Random(1)
        for claim in bundle.outcome.claims:
            for number in numbers_in(claim.statement):
                for _ in range(3):
                    statement = edited(claim.statement, number, chance)
                    change = claim.model_copy(update={"statement": statement})
                    counts["digit_edits"] += 1
                    counts["digit_edits_caught"] += caught(change, again, tables, texts)
            if isinstance(claim, NumberClaim) and type(claim.value) in {int, float}:
                for factor in FACTORS:
                    value = type(claim.value)(float(claim.value) * factor)
                    if value != claim.value:
                        counts["value_edits"] += 1
                        change = claim.model_copy(update={"value": value})
                        counts["value_edits_caught"] += caught(change, again, tables, texts)
    return {**counts, "verify_seconds": round(seconds, 2)}


def caught(claim: NumberClaim | TextClaim, again: dict[str, Rerun], tables: Tables, texts: Texts) -> bool:
    """Return whether the edited claim no longer verifies."""
    if isinstance(claim, TextClaim):
        return check_text(claim, texts).status != "ok"
    return check_number(claim, again.get(claim.computation_id), tables).status != "ok"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    figures = measure(chosen.report, chosen.data)
    if chosen.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:22} {value}")


if __name__ == "__main__":
    main()
