"""Write the Grafana boards: ``python deploy/observability/dashboards.py [FOLDER]``.

The boards are data in ``boards/``; here they become JSON by the official builders, whose version is pinned exactly
because it decides the format. `render` gives the same bytes every time.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as make
from grafana_foundation_sdk.builders import heatmap, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models import heatmap as heatmap_model
from grafana_foundation_sdk.models import prometheus as prometheus_model

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from boards.model import Board, Panel, Query  # noqa: E402

from boards import BOARDS, REFERENCE_ONLY  # noqa: E402

__all__ = ["REFERENCE_ONLY", "main", "render"]

SOURCE = dashboard.DataSourceRef(type_val="prometheus", uid="${datasource}")
HEIGHT = 8
POINTS = 300
"""Points per line: a third of a screen shows no more, and a hundred viewers at once ask for half as much."""
PanelBuilder = Any  # the builders share their methods, but no type that says so


def render() -> dict[str, str]:
    """Return the file name and text of every board."""
    return {f"{board.uid}.json": _text(board) for board in BOARDS}


def _text(board: Board) -> str:
    return JSONEncoder(sort_keys=True, indent=1, ensure_ascii=False).encode(_board(board).build()) + "\n"


def _board(board: Board) -> make.Dashboard:
    built = (
        make.Dashboard(board.title)
        .uid(board.uid)
        .description(board.description)
        .tags(["kimera"])
        .readonly()
        .refresh("30s")
        .time("now-6h", "now")
        .timezone("utc")
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .with_variable(make.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .link(
            make.DashboardLink("Kimera")
            .type(dashboard.DashboardLinkType.DASHBOARDS)
            .tags(["kimera"])
            .as_dropdown(True)
            .keep_time(True)
        )
    )
    number = 0
    for row in board.rows:
        number += 1
        built = built.with_row(make.Row(row.title).id(number))
        for panel in row.panels:
            number += 1
            built = built.with_panel(_panel(panel).id(number))
    return built


def _panel(panel: Panel) -> PanelBuilder:
    built: PanelBuilder = _BUILDERS[panel.kind](panel)
    built = (
        built.title(panel.title)
        .description(panel.description)
        .datasource(SOURCE)
        .unit(panel.unit)
        .span(panel.span)
        .height(HEIGHT)
        .max_data_points(POINTS)
    )
    if panel.mappings:
        options = {value: dashboard.ValueMappingResult(text=text) for value, text in panel.mappings.items()}
        built = built.mappings([dashboard.ValueMap(options=options)])
    for position, query in enumerate(panel.queries):
        built = built.with_target(_target(panel, query, chr(ord("A") + position)))
    return built


def _target(panel: Panel, query: Query, ref: str) -> prometheus.Dataquery:
    built = prometheus.Dataquery().expr(query.expr).ref_id(ref).legend_format(query.legend).datasource(SOURCE)
    if panel.kind == "heat":
        return built.range().format(prometheus_model.PromQueryFormat.HEATMAP)
    if panel.kind == "table":
        return built.instant().format(prometheus_model.PromQueryFormat.TABLE)
    if panel.kind == "stat":
        return built.instant()
    # the exemplars of a bucket rate lead to the identity or the trace; recorded series carry none
    return built.range().exemplar("_bucket" in query.expr)


def _lines(panel: Panel) -> timeseries.Panel:
    legend = common_builders.VizLegendOptions().display_mode(common.LegendDisplayMode.LIST).show_legend(True)
    tooltip = common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI)
    built = timeseries.Panel().legend(legend.placement(common.LegendPlacement.BOTTOM)).tooltip(tooltip)
    return built.show_points(common.VisibilityMode.NEVER).line_width(1)


def _stacked(panel: Panel) -> timeseries.Panel:
    stacking = common_builders.StackingConfig().mode(common.StackingMode.NORMAL).group("A")
    return _lines(panel).stacking(stacking).fill_opacity(30)


def _heat(panel: Panel) -> heatmap.Panel:
    # buckets come ready from Prometheus: nothing is to be counted again
    built = heatmap.Panel().calculate(False)
    return built.color(heatmap.HeatmapColorOptions().mode(heatmap_model.HeatmapColorMode.SCHEME).scheme("Viridis"))


def _stat(panel: Panel) -> stat.Panel:
    calculation = common_builders.ReduceDataOptions().calcs(["lastNotNull"])
    return stat.Panel().reduce_options(calculation).color_mode(common.BigValueColorMode.NONE)


def _table(panel: Panel) -> table.Panel:
    return table.Panel()


_BUILDERS = {"lines": _lines, "stacked": _stacked, "heat": _heat, "stat": _stat, "table": _table}


def main(folder: Path) -> None:
    """Write all boards into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in render().items():
        (folder / name).write_text(text, encoding="utf-8")
        sys.stdout.write(f"{folder / name}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "grafana")
