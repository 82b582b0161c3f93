"""What a benchmark gives back, and how it is shown: ratios first, because only they hold on another machine."""

from collections.abc import Mapping, Sequence

import msgspec

# Latencies are kept as counts of buckets this wide, so samples of many connections merge exactly.
BUCKET_US = 50
# Beyond it the server was not alone on its core, and the latencies are the machine's.
_NOISY = 0.05

Figure = float | int | str | None


class Row(msgspec.Struct, frozen=True):
    """One thing that was measured.

    Attributes:
        ratio: Its cost divided by that of the table's baseline; None where there is nothing to compare.
    """

    case: str
    ratio: float | None
    figures: dict[str, Figure]


class Check(msgspec.Struct, frozen=True):
    """A floor, and what was measured against it.

    Attributes:
        limit: The floor; a run that misses it has failed.
        goal: What is worked towards; to miss it fails nothing.
        figure: The one of the table's figures that it bounds, or `ratio`; a plot marks it there.
        cases: The rows that it bounds.
    """

    claim: str
    measured: float
    limit: float
    at_most: bool = True
    goal: float | None = None
    figure: str = ""
    cases: Sequence[str] = ()

    @property
    def passed(self) -> bool:
        return self._within(self.limit)

    @property
    def verdict(self) -> str:
        if not self.passed:
            return "FAIL"
        if self.goal is None:
            return "pass"
        return "pass, goal met" if self._within(self.goal) else f"pass, goal {self.goal:g} missed"

    def _within(self, bound: float) -> bool:
        return self.measured <= bound if self.at_most else self.measured >= bound


class Table(msgspec.Struct, frozen=True):
    """A benchmark's results.

    Attributes:
        baseline: What a ratio of 1.00 is.
        drawn: The figure that a plot shows, or `ratio`.
        notes: What a reader must know before believing a figure.
    """

    name: str
    baseline: str
    rows: Sequence[Row]
    checks: Sequence[Check] = ()
    notes: Sequence[str] = ()
    drawn: str = "ratio"


def shown(table: Table) -> str:
    """The table as Markdown."""
    names = list(dict.fromkeys(name for row in table.rows for name in row.figures))
    lines = [["case", "ratio", *names]]
    for row in table.rows:
        ratio = "" if row.ratio is None else f"**{row.ratio:.2f}**"
        lines.append([row.case, ratio, *(figure_text(row.figures.get(name)) for name in names)])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines]
    text.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    parts = [f"### {table.name}", "", f"1.00 is {table.baseline}.", "", *text]
    if table.checks:
        parts += ["", *map(_check, table.checks)]
    if table.notes:
        parts += ["", *table.notes]
    return "\n".join(parts)


def noise(waited: Mapping[str, float]) -> list[str]:
    """A note on the cases whose server could have run, and waited for its core, for too large a share of the time."""
    noisy = [case for case, share in waited.items() if share > _NOISY]
    return (
        [f"NOISY: over {_NOISY:.0%} of the time was spent waiting for the core in {', '.join(noisy)}."] if noisy else []
    )


def percentile(buckets: dict[int, int], share: float) -> float:
    """Milliseconds under which that share of all samples lies; 0 when there are none."""
    wanted = sum(buckets.values()) * share
    seen = 0
    for bucket in sorted(buckets):
        seen += buckets[bucket]
        if seen >= wanted:
            return (bucket + 1) * BUCKET_US / 1000
    return 0.0


def figure_text(value: Figure) -> str:
    """A figure as it is shown; nothing for None."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else value


def _check(check: Check) -> str:
    sign = "≤" if check.at_most else "≥"
    return f"- {check.verdict}: {check.claim} {sign} {check.limit:g}, measured {check.measured:.3g}"
