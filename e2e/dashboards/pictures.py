"""Draws what the queries of the dashboard brought in a run: pictures.py <results> <folder>.

The results are those of e2e/tests/dashboards, one picture for each row of the dashboard and one for the alerts.
"""

import json
import math
import re
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, MaxNLocator

COLUMNS = 2
WIDTH, HEIGHT = 11, 2.9
MOST_IN_LEGEND = 6
COLOURS = ["#1f77b4", "#e8710a", "#2a9d4b", "#c5303a", "#7e57c2", "#8c6d46", "#d45fa4", "#6b7280", "#a6a11c", "#1aa7b8"]
SEVERITIES = {"critical": "#c5303a", "warning": "#e8a10a", "info": "#1f77b4"}

plt.rcParams.update({"font.size": 9, "axes.titlesize": 10, "axes.titleweight": "bold", "axes.titlelocation": "left",
                     "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": "#e5e7eb",
                     "legend.frameon": False, "legend.fontsize": 8, "axes.axisbelow": True})


def written(value, unit):
    """A value as Grafana writes it in this unit."""
    if unit == "s":
        if value and abs(value) < 1:
            return f"{value * 1000:g} ms"
        return f"{value:g} s"
    if unit == "percentunit":
        return f"{value * 100:g} %"
    behind = {"bytes": "B", "Bps": "B/s", "reqps": "/s", "ops": "/s"}.get(unit, "")
    step, names = (1024, ["", "Ki", "Mi", "Gi"]) if unit in ("bytes", "Bps") else (1000, ["", "k", "M", "G"])
    power = 0
    while abs(value) >= step and power < len(names) - 1:
        value, power = value / step, power + 1
    return f"{value:.3g} {names[power]}{behind}".strip().replace(" /s", "/s")


def legend_of(query, metric):
    return re.sub(r"\{\{(\w+)\}\}", lambda found: metric.get(found[1], ""), query["legend"]).strip()


def points_of(series, start):
    times = [at - start for at, _ in series["values"]]
    return times, [float(value) for _, value in series["values"]]


def draw_lines(axes, panel, start):
    lines = [(legend_of(query, series["metric"]), *points_of(series, start))
             for query in panel["queries"] for series in query["series"]]
    most = lambda line: max((value for value in line[2] if not math.isnan(value)), default=0)
    lines.sort(key=most, reverse=True)
    for number, (legend, times, values) in enumerate(lines):
        label = legend if number < MOST_IN_LEGEND else None
        axes.plot(times, values, color=COLOURS[number % len(COLOURS)], linewidth=1.3, label=label)
    if len(lines) > MOST_IN_LEGEND:
        axes.plot([], [], " ", label=f"and {len(lines) - MOST_IN_LEGEND} more")
    axes.set_ylim(bottom=0)
    if panel["unit"] == "percentunit":
        axes.set_ylim(0, 1)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: written(value, panel["unit"])))
    if lines:
        axes.legend(loc="upper left", bbox_to_anchor=(0, -0.12), ncol=2, columnspacing=1.2, handlelength=1.2, labelspacing=0.25)


def draw_heatmap(axes, panel, start):
    series = [one for query in panel["queries"] for one in query["series"]]
    bound = lambda one: float(one["metric"]["le"].replace("+Inf", "inf"))
    series.sort(key=bound)
    times = sorted({at - start for one in series for at, _ in one["values"]})
    below = {time: 0.0 for time in times}
    rows = []
    for one in series:
        upto = {at - start: float(value) for at, value in one["values"]}
        rows.append([max(upto.get(time, 0) - below[time], 0) for time in times])
        below.update(upto)
    axes.grid(False)
    axes.pcolormesh(times, range(len(rows)), rows, cmap="Blues", shading="nearest", rasterized=True)
    names = ["over" if math.isinf(bound(one)) else written(bound(one), panel["unit"]) for one in series]
    axes.set_yticks(range(len(rows)), names)


def draw_row(title, panels, start, faults, target):
    rows = math.ceil(len(panels) / COLUMNS)
    figure, grid = plt.subplots(rows, COLUMNS, figsize=(WIDTH, HEIGHT * rows), squeeze=False, layout="constrained")
    for axes in grid.flat[len(panels):]:
        axes.set_visible(False)
    for axes, panel in zip(grid.flat, panels):
        axes.set_title(panel["title"])
        (draw_heatmap if panel["kind"] == "heatmap" else draw_lines)(axes, panel, start)
        axes.axvline(faults, color="#9ca3af", linestyle="--", linewidth=1)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} s"))
        axes.tick_params(length=2)
    save(figure, target)


def draw_alerts(alerts, start, end, faults, target):
    alerts = sorted(alerts, key=lambda alert: (alert["values"][0][0], alert["metric"]["alertname"]), reverse=True)
    figure, axes = plt.subplots(figsize=(WIDTH, 0.3 * len(alerts) + 0.9), layout="constrained")
    step = (end - start) / 200
    for row, alert in enumerate(alerts):
        colour = SEVERITIES[alert["metric"]["severity"]]
        axes.broken_barh([(at - start, step) for at, _ in alert["values"]], (row - 0.35, 0.7), color=colour)
    axes.set_yticks(range(len(alerts)), [alert["metric"]["alertname"] for alert in alerts])
    axes.set_xlim(0, end - start)
    axes.axvline(faults, color="#9ca3af", linestyle="--", linewidth=1)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} s"))
    axes.set_title("Alerts that fire")
    shown = {alert["metric"]["severity"] for alert in alerts}
    handles = [plt.Rectangle((0, 0), 1, 1, color=colour) for name, colour in SEVERITIES.items() if name in shown]
    axes.legend(handles, [name for name in SEVERITIES if name in shown], loc="lower left")
    save(figure, target)


def save(figure, target):
    figure.savefig(target, dpi=80, pil_kwargs={"optimize": True})
    plt.close(figure)
    from PIL import Image

    # A palette is enough for lines, and takes a third of the bytes.
    Image.open(target).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(target, optimize=True)


def main():
    results, folder = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    start, end, faults = results["start"], results["end"], results["faults"] - results["start"]
    rows = {}
    for panel in results["panels"]:
        rows.setdefault(panel["row"], []).append(panel)
    for title, panels in rows.items():
        name = title.lower().replace(" ", "-")
        draw_row(title, panels, start, faults, folder / f"{name}.png")
    draw_alerts(results["alerts"], start, end, faults, folder / "alerts.png")


main()
