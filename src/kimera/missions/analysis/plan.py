"""How a question was understood: steps over one table, then the values asked for. Kept in state and shown to people."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue

from kimera.knowledge.contracts import Frozen

__all__ = ["Comparison", "Condition", "Measure", "Output", "Plan", "Range", "Refusal", "Rule", "Scalar", "Step"]

Scalar = int | float | str | bool
Comparator = Literal["=", "!=", "<", "<=", ">", ">=", "contains"]


class Condition(Frozen):
    """One test on a row. ``aggregate`` compares with ``factor`` times that statistic of the column itself."""

    column: str
    op: Comparator | Literal["missing", "present"]
    value: Scalar | None = None
    aggregate: Literal["mean", "median"] | None = None
    other: str | None = Field(default=None, description="Another column of the same row to compare with.")
    part: str | None = Field(default=None, description="A part of a date the test looks at: year, month, day, hour.")

    def text(self) -> str:
        """Return the condition as a person would write it."""
        subject = f"{self.part} of {self.column}" if self.part else self.column
        if self.op in {"missing", "present"}:
            return f"{subject} is {self.op}"
        against = f"its {self.aggregate}" if self.aggregate else self.other or str(self.value)
        return f"{subject} {self.op} {against}"


class Range(Frozen):
    """One named group of a binning; bounds None mean open."""

    label: str
    low: float | None = None
    high: float | None = None
    low_open: bool = False
    high_open: bool = True


class Step(Frozen):
    """One change of the table. ``target`` is the column written, ``columns`` the ones read."""

    kind: Literal[
        "derive",
        "transform",
        "bin",
        "part",
        "extract",
        "fill",
        "drop_missing",
        "drop_duplicates",
        "drop_outliers",
        "keep",
        "encode",
        "flag",
        "duration",
        "number",
    ]
    target: str = ""
    columns: tuple[str, ...] = ()
    how: str = ""
    constant: float | None = None
    by: str | None = None
    where: tuple[Condition, ...] = ()
    any_of: bool = False
    ranges: tuple[Range, ...] = ()
    mapping: dict[str, int] = Field(default_factory=dict)
    options: dict[str, JsonValue] = Field(default_factory=dict)

    def text(self) -> str:
        """Return the step as one line for the notes of the package."""
        parts = [self.kind.replace("_", " ")]
        if self.how:
            parts.append(self.how)
        if self.columns:
            parts.append("of " + ", ".join(self.columns))
        if self.where:
            parts.append("where " + (" or " if self.any_of else " and ").join(c.text() for c in self.where))
        if self.target and self.target not in self.columns:
            parts.append("as " + self.target)
        return " ".join(parts)


class Measure(Frozen):
    """One value to compute: ``kind`` over ``columns`` of the table as it stands after ``stage`` steps."""

    kind: str
    columns: tuple[str, ...] = ()
    where: tuple[Condition, ...] = ()
    by: str | None = None
    stage: int = -1
    options: dict[str, JsonValue] = Field(default_factory=dict)

    def text(self) -> str:
        """Return the measure as a person would write it."""
        parts = [self.kind.replace("_", " ")]
        if self.columns:
            parts.append("of " + " and ".join(self.columns[:4]))
        if self.by:
            parts.append("by " + self.by)
        if self.where:
            parts.append("where " + " and ".join(c.text() for c in self.where))
        return " ".join(parts)


class Comparison(Frozen):
    """A test of a label rule: a measure against a number."""

    measure: Measure
    op: Literal["<", "<=", ">", ">="]
    value: float
    absolute: bool = False


class Rule(Frozen):
    """A label and what must hold for it; rules are tried in order and an empty one always holds."""

    label: str
    when: tuple[Comparison, ...] = ()


class Output(Frozen):
    """One requested answer: several measures make a list, rules make a label."""

    slot: str | None = None
    measures: tuple[Measure, ...] = ()
    rules: tuple[Rule, ...] = ()
    decimals: tuple[int | None, ...] = ()
    percent: bool = False
    each: str | None = None
    keys: tuple[str, ...] = Field(default=(), description="Names of the measures when one answer maps names to values.")


class Refusal(Frozen):
    """A slot that is not answered and why; ``slot`` None speaks of the whole question."""

    slot: str | None
    reason: str


class Plan(Frozen):
    """The reading of one question against one table."""

    table: str
    steps: tuple[Step, ...] = ()
    outputs: tuple[Output, ...] = ()
    refused: tuple[Refusal, ...] = ()
    notes: tuple[str, ...] = ()
