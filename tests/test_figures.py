"""The figures that the pages quote are those of a recorded run."""

from benchmarks.publish import load, newest, pages


def test_pages_quote_the_newest_full_run() -> None:
    """To the letter, plots included; `python -m benchmarks.publish` writes them."""
    for page, text in pages(newest()):
        assert page.read_text(encoding="utf-8") == text, page


def test_the_newest_full_run_misses_no_floor() -> None:
    """What is published holds; and it was made from what is committed, not from a tree that was being changed."""
    result = load(newest())
    assert not result.quick
    assert result.machine["modified"] is False
    assert [check.claim for table in result.tables for check in table.checks if not check.passed] == []
