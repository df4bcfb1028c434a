"""Small functions that generated code carries along: their source is copied into a computation when it needs them.

Each is complete in itself (only numpy, scipy and the job's ``db``), so that a computation can be read and re-run alone.
"""

from __future__ import annotations

from typing import Any

__all__ = ["PARTS"]


def numbers(db: Any, table: str, columns: list[str], where: str = "TRUE") -> Any:
    """Return the columns as float arrays in file order, only rows where each has a finite number."""
    import numpy as np

    quoted = ['"' + column.replace('"', '""') + '"' for column in columns]
    select = ", ".join(f"TRY_CAST({name} AS DOUBLE) AS c{k}" for k, name in enumerate(quoted))
    statement = f'SELECT {select} FROM "{table}" WHERE {where}'
    rows = db.execute(statement).fetchall()
    values = np.array(rows, dtype=float).reshape(len(rows), len(columns))
    return values[np.isfinite(values).all(axis=1)].T


def tidy(value: Any, decimals: int | None = None) -> Any:
    """Return a plain number rounded to ``decimals``, or None when there is no finite number."""
    import math

    if isinstance(value, str | bool) or value is None:
        return value
    number = float(value)
    if not math.isfinite(number):
        return None
    if decimals is None:
        # nothing was asked: whole numbers stay whole, others get two decimals, small ones three digits
        if number.is_integer() and abs(number) < 2**53:
            return int(number)
        return round(number, 2) if abs(number) >= 0.1 else float(f"{number:.3g}")
    if decimals == 10 and number.is_integer() and abs(number) < 2**53:
        return int(number)
    return round(number) if decimals == 0 else round(number, decimals)


def plain(value: float) -> float | None:
    """Return a float for JSON, None when it is not finite."""
    import math

    return float(value) if math.isfinite(value) else None


def outlier_bounds(x: Any, method: str, factor: float, ddof: int = 0) -> tuple[float, float]:
    """Return the least and the greatest value that is no outlier: Tukey's fences, or mean -+ factor deviations."""
    import numpy as np

    if method == "z":
        return float(x.mean() - factor * x.std(ddof=ddof)), float(x.mean() + factor * x.std(ddof=ddof))
    low, high = np.percentile(x, [25, 75])
    return float(low - factor * (high - low)), float(high + factor * (high - low))


def fit_linear(y: Any, features: list[Any], test_share: float | None, seed: int | None) -> dict[str, Any]:
    """Fit ordinary least squares; with ``test_share`` the scores are of the rows kept out.

    The rows kept out are the first ceil(n * test_share) of numpy's RandomState(seed) permutation.
    """
    import math

    import numpy as np

    n = len(y)
    order = np.arange(n) if test_share is None else np.random.RandomState(seed).permutation(n)
    cut = 0 if test_share is None else math.ceil(n * test_share)
    train = order[cut:] if cut else order
    test = order[:cut] if cut else order
    design = np.column_stack([np.ones(n), *features])
    weights, *_ = np.linalg.lstsq(design[train], y[train], rcond=None)
    predicted = design[test] @ weights
    error = y[test] - predicted
    mse = float(np.mean(error**2))
    spread = float(np.sum((y[test] - y[test].mean()) ** 2))
    return {
        "weights": weights,
        "predicted": predicted,
        "actual": y[test],
        "mse": mse,
        "rmse": mse**0.5,
        "mae": float(np.mean(np.abs(error))),
        "r2": 1 - float(np.sum(error**2)) / spread if spread else float("nan"),
        "n": n,
    }


def fit_logistic(
    y: Any, features: list[Any], test_share: float | None, seed: int | None, balanced: bool = False
) -> dict[str, Any]:
    """Fit logistic regression with an L2 penalty of weight 1 on the slopes and return the share classified rightly."""
    import math

    import numpy as np
    from scipy.optimize import minimize

    n = len(y)
    order = np.arange(n) if test_share is None else np.random.RandomState(seed).permutation(n)
    cut = 0 if test_share is None else math.ceil(n * test_share)
    train, test = (order[cut:], order[:cut]) if cut else (order, order)
    design = np.column_stack([np.ones(n), *features])
    x, goal = design[train], y[train]
    weight = np.ones(len(goal))
    if balanced:
        share = goal.mean()
        weight = np.where(goal == 1, 0.5 / share, 0.5 / (1 - share))

    def loss(b: Any) -> tuple[float, Any]:
        z = x @ b
        value = float(np.sum(weight * (np.logaddexp(0, z) - goal * z)) + 0.5 * np.sum(b[1:] ** 2))
        slope = x.T @ (weight * (1 / (1 + np.exp(-np.clip(z, -500, 500))) - goal)) + np.concatenate([[0.0], b[1:]])
        return value, slope

    best = minimize(loss, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 5000})
    accuracy = float(np.mean((design[test] @ best.x > 0) == (y[test] == 1)))
    return {"weights": best.x, "accuracy": accuracy, "n": n}


def normality(x: Any, test: str) -> tuple[float, float]:
    """Return statistic and p-value of a test that the values come from a normal distribution."""
    import warnings

    from scipy import stats

    tests: dict[str, Any] = {"shapiro": stats.shapiro, "dagostino": stats.normaltest, "jarque_bera": stats.jarque_bera}
    found: Any
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # p-values of Shapiro-Wilk above 5,000 rows are approximate; the note says so
        scaled = (x - x.mean()) / x.std(ddof=1)
        found = stats.kstest(scaled, "norm") if test == "ks_normal" else tests[test](x)
    return float(found.statistic), float(found.pvalue)


def compare_groups(groups: list[Any], test: str) -> tuple[float, float]:
    """Return statistic and p-value of a test for a difference between groups of values."""
    from scipy import stats

    tests: dict[str, Any] = {"anova": stats.f_oneway, "kruskal": stats.kruskal, "levene": stats.levene}
    found: Any
    if test == "t_test":
        found = stats.ttest_ind(groups[0], groups[1])
    elif test == "welch":
        found = stats.ttest_ind(groups[0], groups[1], equal_var=False)
    elif test == "mann_whitney":
        found = stats.mannwhitneyu(groups[0], groups[1], alternative="two-sided")
    elif test == "ks_two":
        found = stats.ks_2samp(groups[0], groups[1])
    else:
        found = tests[test](*groups)
    return float(found.statistic), float(found.pvalue)


def grouped(db: Any, table: str, value: str, by: str, where: str = "TRUE") -> dict[str, Any]:
    """Return the values of each group as float arrays, groups in the order of their first row."""
    import numpy as np

    x, g = ('"' + column.replace('"', '""') + '"' for column in (value, by))
    statement = f'SELECT CAST({g} AS VARCHAR), TRY_CAST({x} AS DOUBLE) FROM "{table}" WHERE {where} AND {g} IS NOT NULL'
    rows = db.execute(statement).fetchall()
    found: dict[str, list[float]] = {}
    for name, number in rows:
        if number is not None and np.isfinite(number):
            found.setdefault(name, []).append(number)
    return {name: np.array(numbers) for name, numbers in found.items()}


def correlations(
    db: Any, table: str, columns: list[str], target: str | None, where: str = "TRUE"
) -> list[tuple[float, str, str]]:
    """Return Pearson's r for the pairs of columns (or of each column with ``target``), rows where both have a value."""
    import numpy as np

    pairs = (
        [(target, c) for c in columns if c != target]
        if target
        else [(a, b) for i, a in enumerate(columns) for b in columns[i + 1 :]]
    )
    found = []
    for a, b in pairs:
        x, y = numbers(db, table, [a, b], where)
        if len(x) > 2 and np.std(x) > 0 and np.std(y) > 0:
            found.append((float(np.corrcoef(x, y)[0, 1]), a, b))
    return found


PARTS = {
    part.__name__: part
    for part in (
        numbers,
        tidy,
        plain,
        outlier_bounds,
        fit_linear,
        fit_logistic,
        normality,
        compare_groups,
        grouped,
        correlations,
    )
}
