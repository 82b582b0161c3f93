"""A bar chart of each benchmark, as `docs/plots/<benchmark>.svg`; `publish.py` writes them.

One panel a table, one bar a row; on the rows that a check bounds its floor is a line, its goal a dashed one. Where the
values span more than thirtyfold the axis is logarithmic and says so. The colours follow the reader's scheme.
"""

import math
from collections.abc import Callable, Sequence
from html import escape

import msgspec

from .report import Check, Figure, Row, Table, figure_text

_WIDTH, _LABEL, _VALUE = 760, 205, 75
_BAR, _STEP, _HEAD, _AXIS = 18, 26, 48, 30
_SPAN = 30
_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 } .title { font-weight: 600 }
.minor { font-size: 11px; fill: #59636e } .page { fill: #ffffff }
.bar { fill: #a3acb8 } .ours { fill: #2f6fde } .grid { stroke: #d9dee3 }
.floor, .goal { stroke: #c4321f; stroke-width: 2 } .goal { stroke-dasharray: 3 2 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .minor { fill: #9aa4af } .page { fill: #0d1117 } .bar { fill: #6b7683 } .ours { fill: #5b9bff }
.grid { stroke: #30363d } .floor, .goal { stroke: #ff7b6b } }
"""


class Result(msgspec.Struct, frozen=True):
    """What a run has written, as far as it is drawn."""

    date: str
    quick: bool
    machine: dict[str, object]
    tables: Sequence[Table]


def drawing(name: str, tables: Sequence[Table], result: Result) -> str:
    """The SVG of one benchmark."""
    parts, top = [], 0.0
    for table in tables:
        parts.append(f'<g transform="translate(0 {top:g})">{_panel(table)}</g>')
        top += _HEAD + _STEP * len(table.rows) + _AXIS
    made = f"{result.date[:10]}, {result.machine['cpu']}, commit {str(result.machine['commit'])[:7]}"
    made += ", one short round" if result.quick else ""
    said = "; ".join(f"{row.case}: {_said(_value(table, row))}" for table in tables for row in table.rows)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top + 24:g}" role="img" '
        f'aria-labelledby="title desc"><title id="title">Benchmark {escape(name)}</title>'
        f'<desc id="desc">{escape(said)}</desc><style>{_STYLE}</style><rect class="page" width="100%" height="100%"/>'
        f"{''.join(parts)}{_text(12, top + 12, made, 'minor')}</svg>\n"
    )


def _panel(table: Table) -> str:
    checks = [check for check in table.checks if check.figure == table.drawn]
    numbers = [value for row in table.rows if isinstance(value := _value(table, row), int | float)]
    bounds = [bound for check in checks for bound in (check.limit, check.goal) if bound is not None]
    at, ticks, logarithmic = _scale([*numbers, *bounds])
    bottom = _HEAD + _STEP * len(table.rows)
    better = "more" if any(not check.at_most for check in checks) else "less"
    unit = f"ratio; 1.00 is {table.baseline}".replace("`", "") if table.drawn == "ratio" else table.drawn
    title = table.name.partition(": ")[2]
    parts = [_text(12, 20, title[:1].upper() + title[1:], "title")]
    parts.append(
        _text(
            12,
            37,
            f"{unit}; {better} is better{', logarithmic' * logarithmic}{', red: floor, dashed: goal' * bool(checks)}",
            "minor",
        )
    )
    for tick in ticks:
        parts.append(f'<path class="grid" d="M{at(tick):.1f} {_HEAD - 4}V{bottom}"/>')
        parts.append(_text(at(tick), bottom + 13, _said(tick), "minor", "middle"))
    for n, row in enumerate(table.rows):
        bounded = [check for check in checks if row.case in check.cases]
        ours = row.case.startswith("ours") or table.drawn.startswith("ours")
        parts.append(_bar(row.case, _value(table, row), _HEAD + n * _STEP, at, bounded, ours=ours))
    return "".join(parts)


def _bar(
    case: str, value: Figure, y: float, at: Callable[[float], float], checks: Sequence[Check], *, ours: bool
) -> str:
    parts, end = [_text(_LABEL - 8, y + 14, case, "", "end")], float(_LABEL)
    if isinstance(value, int | float):
        end = max(at(value), _LABEL + 2.0)
        kind = "bar ours" if ours else "bar"
        parts.append(f'<rect class="{kind}" x="{_LABEL}" y="{y:g}" width="{end - _LABEL:.1f}" height="{_BAR}" rx="2"/>')
    for check in checks:
        for bound, name in ((check.limit, "floor"), (check.goal, "goal")):
            if bound is not None:
                line = f'<path class="{name}" d="M{at(bound):.1f} {y - 3:g}v{_BAR + 6}">'
                parts.append(f"{line}<title>{name} {bound:g}</title></path>")
                end = max(end, at(bound) if abs(at(bound) - end) < _VALUE else end)
    return "".join([*parts, _text(end + 6, y + 14, _said(value))])


def _scale(values: Sequence[float]) -> tuple[Callable[[float], float], list[float], bool]:
    """Where a value is, the values to mark, and whether the axis is logarithmic."""
    room = _WIDTH - _LABEL - _VALUE
    positive = [value for value in values if value > 0] or [1.0]
    if max(positive) / min(positive) <= _SPAN:
        step = 10 ** math.floor(math.log10(max(positive)))
        step *= 1 if max(positive) / step > 4 else 0.5 if max(positive) / step > 2 else 0.25
        ticks = [n * step for n in range(int(max(positive) / step) + 1)]
        return lambda value: _LABEL + room * max(value, 0) / max(positive), ticks, False
    low, high = math.floor(math.log10(min(positive) * 0.8)), math.log10(max(positive))
    ticks = [10.0**power for power in range(low, math.floor(high) + 1)]
    return lambda value: _LABEL + room * (math.log10(max(value, 10**low)) - low) / (high - low), ticks, True


def _value(table: Table, row: Row) -> Figure:
    value = row.ratio if table.drawn == "ratio" else row.figures.get(table.drawn)
    # A row that was not measured says why in its first figure.
    return next(iter(row.figures.values()), None) if value is None and len(row.figures) == 1 else value


def _said(value: Figure) -> str:
    return figure_text(value) or "not measured"


def _text(x: float, y: float, said: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:g}" text-anchor="{anchor}">{escape(said)}</text>'
