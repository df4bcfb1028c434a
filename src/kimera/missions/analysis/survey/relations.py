"""What goes with what: correlations, differences between groups, trends, in one job with one correction.

The functions are copied whole into the computation, so each is complete in itself.
"""

from __future__ import annotations

import inspect
from typing import Any

__all__ = ["ADJUST_CODE", "RELATIONS_CODE"]


def column_values(db: Any, table: str, names: list[str], kinds: dict[str, str]) -> dict[str, Any]:
    """Return columns as arrays: numbers and times as floats with NaN for missing, groups as text with None."""
    import numpy as np

    def expression(name: str) -> str:
        x = '"' + name.replace('"', '""') + '"'
        if kinds[name] == "number":
            return f"TRY_CAST(regexp_replace(CAST({x} AS VARCHAR), '[,%$\\s]', '', 'g') AS DOUBLE)"
        if kinds[name].startswith("date:"):
            return f"epoch(try_strptime(trim({x}), '{kinds[name][5:]}')) / 86400.0"
        return f"epoch({x}) / 86400.0" if kinds[name] == "date" else f"CAST({x} AS VARCHAR)"

    # names cannot be bound as parameters; they are quoted
    statement = f'SELECT {", ".join(expression(n) for n in names)} FROM "{table}"'
    rows = db.execute(statement).fetchall()
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    found = {}
    for name, column in zip(names, columns, strict=True):
        text = kinds[name] == "group"
        found[name] = (
            np.array(column, dtype=object)
            if text
            else np.array([np.nan if v is None else v for v in column], dtype=float)
        )
    return found


def pairs(values: dict[str, Any], numbers: list[list[str]]) -> list[dict[str, Any]]:
    """Return Pearson's and Spearman's correlation of pairs of columns, over rows where both have a value."""
    import numpy as np
    from scipy import stats

    found = []
    for a, b in numbers:
        both = np.isfinite(values[a]) & np.isfinite(values[b])
        x, y = values[a][both], values[b][both]
        if len(x) < 8 or np.ptp(x) == 0 or np.ptp(y) == 0:
            continue
        pearson, spearman = stats.pearsonr(x, y), stats.spearmanr(x, y)
        slope, start = np.polyfit(x, y, 1)
        found.append(
            {
                "kind": "correlation",
                "columns": [a, b],
                "n": len(x),
                "r": float(pearson.statistic),
                "p": float(pearson.pvalue),
                "rho": float(spearman.statistic),
                "p_rho": float(spearman.pvalue),
                "slope": float(slope),
                "intercept": float(start),
            }
        )
    return found


def differences(values: dict[str, Any], listed: list[list[str]]) -> list[dict[str, Any]]:
    """Return the difference of a column between groups: Welch's t or Welch-like ANOVA F, and the rank test beside it.

    ``effect`` is eta squared (share of the variance between groups); the rank test is the one to trust when a group is
    small or far from normal, and ``test`` names the one whose p stands in ``p``.
    """
    import numpy as np
    from scipy import stats

    found = []
    for number, group in listed:
        x, g = values[number], values[group]
        present = np.isfinite(x) & np.array([v is not None for v in g])
        names = sorted(set(g[present]))
        parts = [x[present & (g == name)] for name in names]
        kept = [(name, part) for name, part in zip(names, parts, strict=True) if len(part) >= 3]
        if not 2 <= len(kept) <= 12 or all(np.ptp(part) == 0 for _, part in kept):
            continue
        groups = [part for _, part in kept]
        whole = np.concatenate(groups)
        spread = float(((whole - whole.mean()) ** 2).sum())
        between = float(sum(len(p) * (p.mean() - whole.mean()) ** 2 for p in groups))
        rough = (
            min(len(p) for p in groups) < 20
            or max(abs(float(stats.skew(p))) if np.ptp(p) > 0 else 9.0 for p in groups) > 1
        )
        test: Any
        if len(groups) == 2:
            test = stats.mannwhitneyu(*groups) if rough else stats.ttest_ind(*groups, equal_var=False)
            name = "Mann-Whitney U" if rough else "Welch's t"
        else:
            test = stats.kruskal(*groups) if rough else stats.f_oneway(*groups)
            name = "Kruskal-Wallis" if rough else "one-way ANOVA"
        found.append(
            {
                "kind": "difference",
                "columns": [number, group],
                "n": len(whole),
                "p": float(test.pvalue),
                "test": name,
                "statistic": float(test.statistic),
                "effect": between / spread if spread else 0.0,
                "groups": [
                    {"name": n, "n": len(p), "mean": float(p.mean()), "median": float(np.median(p))} for n, p in kept
                ],
            }
        )
    return found


def associations(values: dict[str, Any], listed: list[list[str]]) -> list[dict[str, Any]]:
    """Return how two groupings go together: chi-square, and Cramer's V as the effect.

    ``most`` and ``least`` are the groups of the second column with the highest and lowest share of ``value``, the last
    value of the first column in alphabetical order (1, true, yes where there are two).
    """
    import numpy as np
    from scipy import stats

    found = []
    for a, b in listed:
        present = np.array(
            [x is not None and y is not None for x, y in zip(values[a], values[b], strict=True)], dtype=bool
        )
        rows, columns = values[a][present], values[b][present]
        names, groups = sorted(set(rows)), sorted(set(columns))
        counts = np.array([[int(((rows == n) & (columns == g)).sum()) for g in groups] for n in names])
        if min(counts.shape) < 2:
            continue
        test = stats.chi2_contingency(counts)
        if test.expected_freq.min() < 5:
            continue  # too few rows for the chi-square approximation
        share = counts[-1] / counts.sum(axis=0)
        sides = [int(share.argmax()), int(share.argmin())]
        most, least = ({"name": groups[k], "n": int(counts[:, k].sum()), "share": float(share[k])} for k in sides)
        effect = float((test.statistic / (counts.sum() * (min(counts.shape) - 1))) ** 0.5)
        found.append(
            {
                "kind": "association",
                "columns": [a, b],
                "n": int(counts.sum()),
                "p": float(test.pvalue),
                "statistic": float(test.statistic),
                "effect": effect,
                "value": names[-1],
                "most": most,
                "least": least,
            }
        )
    return found


def trends(values: dict[str, Any], listed: list[list[str]]) -> list[dict[str, Any]]:
    """Return the trend of the mean of a column over time: Kendall's tau (Mann-Kendall) and the Theil-Sen slope."""
    import numpy as np
    from scipy import stats

    found = []
    for number, when in listed:
        both = np.isfinite(values[number]) & np.isfinite(values[when])
        times, place = np.unique(values[when][both], return_inverse=True)
        if not 6 <= len(times) <= 3000:
            continue
        mean = np.bincount(place, values[number][both]) / np.bincount(place)
        if np.ptp(mean) == 0:
            continue
        kendall, line = stats.kendalltau(times, mean), stats.theilslopes(mean[:1200], times[:1200])
        found.append(
            {
                "kind": "trend",
                "columns": [number, when],
                "n": len(times),
                "tau": float(kendall.statistic),
                "p": float(kendall.pvalue),
                "slope": float(line.slope),
                "low": float(line.low_slope),
                "high": float(line.high_slope),
            }
        )
    return found


def reversals(values: dict[str, Any], found: list[dict[str, Any]], groups: list[str]) -> None:
    """Note on a correlation the grouping inside which its sign turns the most (Simpson's paradox), or else it fades."""
    import numpy as np

    for item in found:
        a, b = item["columns"]
        if item["kind"] != "correlation" or abs(item["r"]) < 0.15:
            continue
        turns: list[tuple[float, str, list[float]]] = []
        for group in groups:
            inside = []
            for name in sorted({v for v in values[group] if v is not None}):
                part = (values[group] == name) & np.isfinite(values[a]) & np.isfinite(values[b])
                x, y = values[a][part], values[b][part]
                if len(x) >= 10 and np.ptp(x) > 0 and np.ptp(y) > 0:
                    inside.append(float(np.corrcoef(x, y)[0, 1]))
            turned = [abs(r) for r in inside if r * item["r"] < 0 and abs(r) > 0.15]
            if len(inside) >= 2 and len(turned) * 2 > len(inside):
                turns.append((sum(turned) / len(inside), group, inside))
            elif len(inside) >= 2 and abs(item["r"]) >= 0.3 and max(abs(r) for r in inside) < 0.2:
                item["fades_within"], item["within"] = group, [round(r, 3) for r in inside]
        if turns:
            _, group, inside = max(turns, key=lambda turn: turn[0])
            item.pop("fades_within", None)
            item["turns_within"], item["within"] = group, [round(r, 3) for r in inside]


def adjust(p_values: list[float]) -> list[float]:
    """Return the adjusted p-values (Benjamini and Hochberg 1995), in the order given."""
    order = sorted(range(len(p_values)), key=lambda k: p_values[k])
    adjusted, smallest = [1.0] * len(p_values), 1.0
    for rank in range(len(order), 0, -1):
        smallest = min(smallest, p_values[order[rank - 1]] * len(p_values) / rank)
        adjusted[order[rank - 1]] = smallest
    return adjusted


RELATIONS_PARTS = (column_values, pairs, differences, associations, trends, reversals)
RELATIONS_CODE = (
    "from typing import Any\n\n\n"
    + "\n\n".join(inspect.getsource(part) for part in RELATIONS_PARTS)
    + """

values = column_values(db, parameters["table"], sorted(parameters["kinds"]), parameters["kinds"])
found = pairs(values, parameters["pairs"])
found += differences(values, parameters["differences"]) + trends(values, parameters["trends"])
found += associations(values, parameters["associations"])
reversals(values, found, parameters["groups"])
rows_read = len(next(iter(values.values()), []))
tested = [values[name] for name in sorted({name for item in found for name in item["columns"]})]
# NaN is the only value that is not itself
rows_used = sum(any(v is not None and v == v for v in row) for row in zip(*tested))
result = {"found": found}
"""
)
ADJUST_CODE = inspect.getsource(adjust) + '\n\nresult = adjust(parameters["p"])\n'
