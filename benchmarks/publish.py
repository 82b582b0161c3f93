"""`python -m benchmarks.publish [result.json]`: writes a run's figures into the pages that quote them, and its plots.

Nobody copies a figure by hand, and a test holds the pages to the newest full run in `results/`.
"""

import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import msgspec

from .plots import Result, drawing
from .report import Table, figure_text, shown

ROOT = Path(__file__).parent.parent
_RESULTS = Path(__file__).parent / "results"
_HEADLINES = (
    ("1,000 observers at 200/s: of the rate, %", "fanout: 1 generation, 1000 observers, 200/s", "delivered %"),
    ("p99, ms", "fanout: 1 generation, 1000 observers, 200/s", "p99 ms"),
    ("300 generations at 50/s through it: of the rate, %", "gateway: 300", "delivered %"),
    ("CPU, µs/token", "gateway: 300", "CPU µs/token"),
    ("links that break: delivered, %", "drops", "delivered %"),
    ("idle observer, KiB", "idle: memory", "KiB/observer"),
)
_WHO = {
    "**ours**": ("ours", "ours, SSE"),
    "Nchan, nginx": ("Nchan", "Nchan, SSE", "nginx"),
    "python-socketio": ("python-socketio",),
    "LiteLLM": ("LiteLLM",),
    "the tutorial": ("tutorial",),
    "a bare loop": ("bare loop",),
}
# What is between such a pair of lines is written by this module.
_BEGIN, _END = "<!-- figures: {name} -->", "<!-- end of figures -->"


def newest() -> Path:
    """The last full run that was recorded."""
    full = [path for path in _RESULTS.glob("????-??-??-????.json") if not path.stem.endswith("quick")]
    return max(full)


def load(path: Path) -> Result:
    """A recorded run."""
    return msgspec.json.decode(path.read_bytes(), type=Result)


def pages(path: Path) -> Iterator[tuple[Path, str]]:
    """Every file that quotes a run, and what it must hold."""
    result = load(path)
    front, own = ROOT / "README.md", ROOT / "benchmarks" / "README.md"
    text = _replaced(front.read_text(encoding="utf-8"), "beside", beside(result))
    yield front, _replaced(text, "floors", floors(result))
    yield own, _replaced(own.read_text(encoding="utf-8"), "results", results(result, path.name))
    for benchmark, tables in _by_benchmark(result):
        yield ROOT / "docs" / "plots" / f"{benchmark}.svg", drawing(benchmark, tables, result)


def beside(result: Result) -> str:
    """The figures that people ask for first, of us and of what they would run instead."""
    lines = ["| | " + " | ".join(heading for heading, _, _ in _HEADLINES) + " |", "|---" * (len(_HEADLINES) + 1) + "|"]
    for who, names in _WHO.items():
        cells = [_cell(result, table, figure, names) for _, table, figure in _HEADLINES]
        lines.append(f"| {who} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(result: Result, start: str, figure: str, names: Sequence[str]) -> str:
    for table in result.tables:
        for row in table.rows:
            if table.name.startswith(start) and row.case in names:
                return figure_text(row.figures.get(figure)) or ""
    return ""


def floors(result: Result) -> str:
    """Everything that was promised, beside what was measured."""
    lines = ["| benchmark | claim | floor | goal | measured |", "|---|---|---|---|---|"]
    for table in result.tables:
        for check in table.checks:
            sign = "≤" if check.at_most else "≥"
            goal = "" if check.goal is None else f"{sign} {check.goal:g}"
            measured = f"**{figure_text(check.measured)}**{'' if check.passed else ' (missed)'}"
            floor = f"{sign} {figure_text(float(check.limit))}"
            lines.append(f"| {table.name} | {check.claim} | {floor} | {goal} | {measured} |")
    return "\n".join([*lines, "", _made(result)])


def results(result: Result, name: str) -> str:
    """Every table of a run, each benchmark after its plot."""
    parts = [f"{_made(result)} The raw figures are in `results/{name}`."]
    for benchmark, tables in _by_benchmark(result):
        parts.append(f"![{benchmark}, drawn](../docs/plots/{benchmark}.svg)")
        parts += [shown(table) for table in tables]
    return "\n\n".join(parts)


def _made(result: Result) -> str:
    about = result.machine
    return (
        f"One full run of {result.date[:10]} at commit `{str(about['commit'])[:7]}`: {about['cores']} cores of an"
        f" {about['cpu']}, CPython {about['python']}."
    )


def _by_benchmark(result: Result) -> Iterator[tuple[str, Sequence[Table]]]:
    for benchmark, tables in groupby(result.tables, lambda table: table.name.partition(":")[0]):
        yield benchmark, list(tables)


def _replaced(page: str, name: str, text: str) -> str:
    begin = _BEGIN.format(name=name)
    before, _, rest = page.partition(begin)
    _, end, after = rest.partition(_END)
    if not end:
        raise ValueError(f"the page has no {begin} … {_END}")
    return f"{before}{begin}\n{text}\n{end}{after}"


def main() -> None:
    """Write everything."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else newest()
    for page, text in pages(path):
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(text, encoding="utf-8")
        print(page.relative_to(ROOT))


if __name__ == "__main__":
    main()
