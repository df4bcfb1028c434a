"""From a plan to one Python program: the steps, then each answer, with the parts it needs copied in."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable

from kimera.missions.analysis.plan import Condition, Measure, Output, Plan, Rule, Step
from kimera.missions.analysis.question.tables import TableView
from kimera.missions.analysis.templates.parts import PARTS
from kimera.missions.analysis.templates.sql import Relation, name_of, step_sql, where_sql

__all__ = ["Writer", "key_of", "narrowed", "write_code"]


def write_code(plan: Plan, view: TableView) -> str:
    """Return the program of a plan. It reads the view ``plan.table`` and assigns ``result``.

    ``result["answers"]`` holds slot -> value, ``result["n"]`` the rows behind a value, ``result["why"]`` the measures
    that chose a label.
    """
    writer = Writer(plan, view)
    for output in plan.outputs:
        writer.answer(output)
    return writer.text()


_START = 'result: dict[str, dict[str, Any]] = {"answers": {}, "n": {}, "why": {}, "groups": {}}'


def key_of(output: Output, number: int) -> str:
    """Return the name of an output in the result."""
    return output.slot or f"answer_{number}"


class Writer:
    """Collects the lines of one program; the same measure is computed once."""

    def __init__(self, plan: Plan, view: TableView) -> None:
        self.plan = plan
        self.lines: list[str] = []
        self.used: set[str] = set()
        self.known: dict[str, str] = {}
        self.stages = [Relation(view.name, view)]
        self.written = 0
        self.rows = ""
        self.reasons: dict[str, str] = {}
        for number, step in enumerate(plan.steps, 1):
            self._step(number, step)

    def _step(self, number: int, step: Step) -> None:
        before = self.stages[-1]
        sql = f"CREATE TABLE step_{number} AS {step_sql(step, before)}"
        self.lines.append(f"# Step {number}: {step.text()}".replace("\n", " "))
        self.lines.append(f"db.execute({sql!r})")
        view = before.view
        for target in step.columns if step.kind == "number" else (step.target,) if step.target else ():
            role = "text" if step.kind in {"bin", "extract"} else "number"
            known = view.column(target)
            if not (step.kind == "fill" and known is not None and known.role == "text"):
                view = view.with_column(target, role, tuple(r.label for r in step.ranges))  # type: ignore[arg-type]
        self.stages.append(Relation(f"step_{number}", view))

    def text(self) -> str:
        """Return the whole program."""
        parts = [inspect.getsource(PARTS[name]) for name in sorted(self._needed())]
        body = [
            "from typing import Any",
            "",
            "import numpy as np",
            "from scipy import stats",
            "",
            "",
            *_spaced(parts),
            _START,
            *self.lines,
        ]
        count = name_of(self.stages[-1].name)
        body.append(f"rows_read = db.execute('SELECT count(*) FROM {name_of(self.plan.table)}').fetchall()[0][0]")
        body.append(f"rows_used = db.execute('SELECT count(*) FROM {count}').fetchall()[0][0]")
        return "\n".join(body) + "\n"

    def _needed(self) -> set[str]:
        needed = set(self.used)
        return needed | ({"numbers"} if "correlations" in needed else set())

    def use(self, part: str) -> str:
        """Note that a part is needed and return its name."""
        self.used.add(part)
        return part

    def name(self, wish: str, expression: str) -> str:
        """Assign an expression to a variable once and return the variable."""
        if expression not in self.known:
            self.written += 1
            variable = f"{re.sub(r'[^a-z0-9]+', '_', wish.lower()).strip('_') or 'value'}_{self.written}"
            self.lines.append(f"{variable} = {expression}")
            self.known[expression] = variable
        return self.known[expression]

    def relation(self, measure: Measure) -> Relation:
        """Return the table a measure reads."""
        return self.stages[measure.stage if 0 <= measure.stage < len(self.stages) else -1]

    def where(self, conditions: tuple[Condition, ...], relation: Relation) -> str:
        """Return conditions as a SQL text in Python quotes."""
        return repr(where_sql(conditions, relation))

    def columns(self, measure: Measure, *columns: str) -> str:
        """Fetch columns as one array per column and return the variable."""
        relation = self.relation(measure)
        call = f"{self.use('numbers')}(db, {relation.name!r}, {list(columns)!r}, {self.where(measure.where, relation)})"
        variable = self.name("_".join(columns)[:40], call)
        self.rows = f"{variable}.shape[1]"
        return variable

    def column(self, measure: Measure) -> str:
        """Fetch the first column of a measure and return the variable."""
        return self.columns(measure, measure.columns[0]) + "[0]"

    def value(self, measure: Measure) -> str:
        """Return an expression for a measure; raises KeyError for a kind it cannot write."""
        from kimera.missions.analysis.templates.measures import WRITERS

        family = next((f for f in ("outlier_", "model_", "groups_") if measure.kind.startswith(f)), measure.kind)
        return WRITERS[family](self, measure)

    def answer(self, output: Output) -> None:
        """Write one output; one that repeats per group becomes a list in the order of the groups."""
        key = repr(key_of(output, self.plan.outputs.index(output) + 1))
        groups = self._groups(output)
        self.rows, self.reasons = "", {}
        if groups is None:
            self._assign(output, f'result["answers"][{key}] =')
            if self.rows:
                self.lines.append(f'result["n"][{key}] = {self.rows}')
            if self.reasons:
                measured = ", ".join(
                    f"{kind!r}: {self.use('plain')}({variable})" for kind, variable in self.reasons.items()
                )
                self.lines.append(f'result["why"][{key}] = {{{measured}}}')
            return
        self.lines.append(f'result["groups"][{key}] = {[c.value for c in groups]!r}')
        self.lines.append(f'result["answers"][{key}] = []')
        for group in groups:
            self._assign(narrowed(output, group), f'result["answers"][{key}] +=', "[{}]")

    def _groups(self, output: Output) -> list[Condition] | None:
        if output.each is None:
            return None
        column = self.stages[-1].view.column(output.each)
        values = column.values if column else ()
        numeric = column is not None and column.role == "number"
        return [Condition(column=output.each, op="=", value=float(v) if numeric else v) for v in values]

    def _assign(self, output: Output, target: str, shape: str = "{}") -> None:
        if output.rules:
            self._choose(output.rules, target, shape)
            return
        values = []
        for k, measure in enumerate(output.measures):
            decimals = output.decimals[k] if k < len(output.decimals) else None
            decimals = 10 if output.slot is None else decimals
            values.append(
                f"{self.use('tidy')}({self._scaled(measure, output)}, {decimals})"
                if decimals is not None
                else f"{self.use('tidy')}({self._scaled(measure, output)})"
            )
        value = values[0] if len(values) == 1 else f"', '.join(map(str, [{', '.join(values)}]))"
        if output.keys:
            value = f"str(dict(zip({list(output.keys)!r}, [{', '.join(values)}])))"
            shape = shape.replace("{}", "{0}")
        self.lines.append(f"{target} {shape.format(value)}")

    def _scaled(self, measure: Measure, output: Output) -> str:
        share = measure.kind.endswith("share") or measure.kind == "model_accuracy"
        return f"100 * {self.value(measure)}" if share and output.percent else self.value(measure)

    def _choose(self, rules: tuple[Rule, ...], target: str, shape: str) -> None:
        tests = [" and ".join(self._holds(c.measure, c.op, c.value, c.absolute) for c in rule.when) for rule in rules]
        word = "if"
        for rule, test in zip(rules, tests, strict=True):
            self.lines.append(f"{word} {test}:" if test else "else:")
            self.lines.append(f"    {target} {shape.format(repr(rule.label))}")
            word = "elif"

    def _holds(self, measure: Measure, op: str, value: float, absolute: bool) -> str:
        variable = self.name(measure.kind, f"float({self.value(measure)})")
        self.reasons[measure.kind] = variable
        return f"{f'abs({variable})' if absolute else variable} {op} {value!r}"


def narrowed(output: Output, group: Condition) -> Output:
    """Return an output for the rows of one group."""

    def narrow(measure: Measure) -> Measure:
        return measure.model_copy(update={"where": (*measure.where, group)})

    rules = tuple(
        r.model_copy(update={"when": tuple(c.model_copy(update={"measure": narrow(c.measure)}) for c in r.when)})
        for r in output.rules
    )
    return output.model_copy(update={"measures": tuple(narrow(m) for m in output.measures), "rules": rules})


def _spaced(parts: list[str]) -> list[str]:
    return [line for part in parts for line in (part.rstrip(), "", "")]


Emit = Callable[[Writer, Measure], str]
