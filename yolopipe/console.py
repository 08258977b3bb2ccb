"""Terminal output: progress with rate and time left, messages, summaries and tables.

The only module that imports rich.  Progress and messages go to standard error, results to standard output, so that
``--json`` output can be piped.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.table import Column, Table
from rich.text import Text

__all__ = ["Advance", "clock", "error", "line", "note", "progress", "summary", "table"]

PLAIN_EVERY_SECONDS = 10.0
"""Interval of the plain progress lines where there is no terminal (a log, a CI job)."""

Advance = Callable[..., None]
"""``advance(done_since_last_call, text="")``."""


def _stderr() -> Console:
    return Console(stderr=True, highlight=False, soft_wrap=True)


def _stdout() -> Console:
    return Console(highlight=False)


def clock(seconds: float) -> str:
    """Seconds as minutes and seconds.

    >>> clock(5), clock(75), clock(3700)
    ('0:05', '1:15', '1:01:40')
    """
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def _pace(done: float, total: float | None, seconds: float, unit: str) -> str:
    if done <= 0 or seconds <= 0:
        return f"- {unit}/s"
    rate = done / seconds
    shown = f"{rate:,.0f}" if rate >= 100 else f"{rate:.1f}"
    return f"{shown} {unit}/s" + ("" if total is None else f"  {clock((total - done) / rate)} left")


def _pace_at_end(done: float, seconds: float, unit: str) -> str:
    return f"{done / max(seconds, 1e-9):,.0f} {unit}/s  in {clock(seconds)}"


class _Pace(ProgressColumn):
    """Rate and time left over the whole run, which are steadier than those of the last second."""

    def __init__(self, unit: str) -> None:
        super().__init__(table_column=Column(no_wrap=True))
        self.unit = unit

    def render(self, task: Task) -> Text:
        if task.finished:
            return Text(_pace_at_end(task.completed, task.finished_time or 0.0, self.unit))
        return Text(_pace(task.completed, task.total, task.elapsed or 0.0, self.unit))


@contextmanager
def progress(title: str, total: int | None, *, unit: str = "images") -> Iterator[Advance]:
    """Show progress for ``total`` pieces of work, None if unknown; yields ``advance(n, text="")``.

    A bar where standard error is a terminal; elsewhere one plain line every ten seconds and one at the end.
    """
    if _stderr().is_terminal:
        with _bar(title, total, unit) as advance:
            yield advance
    else:
        yield from _plain(title, total, unit)


@contextmanager
def _bar(title: str, total: int | None, unit: str) -> Iterator[Advance]:
    columns = (
        TextColumn("[bold]{task.description}", table_column=Column(no_wrap=True)),
        BarColumn(bar_width=20),
        TextColumn(f"{{task.completed:,.0f}}{_of(total)}", table_column=Column(no_wrap=True)),
        _Pace(unit),
        TextColumn("{task.fields[text]}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)),
    )
    with Progress(*columns, console=_stderr(), expand=True) as bar:
        task = bar.add_task(escape(title), total=total, text="")
        yield lambda done=1, text="": bar.update(task, advance=done, text=escape(text))


def _of(total: int | None) -> str:
    return "" if total is None else f"/{total:,}"


def _plain(title: str, total: int | None, unit: str) -> Iterator[Advance]:
    start = last = time.monotonic()
    done, shown = 0, ""

    def line(pace: str) -> None:
        print(f"{title}  {done:,}{_of(total)} {unit}  {pace}  {shown}".rstrip(), file=sys.stderr, flush=True)

    def advance(step: int = 1, text: str = "") -> None:
        nonlocal done, last, shown
        done, shown = done + step, text or shown
        now = time.monotonic()
        if now - last >= PLAIN_EVERY_SECONDS and (total is None or done < total):
            last = now
            line(_pace(done, total, now - start, unit))

    yield advance
    line(_pace_at_end(done, time.monotonic() - start, unit))


def note(text: str) -> None:
    """A plain line on standard error."""
    _stderr().print(text, markup=False)


def line(text: str = "") -> None:
    """Plain text on standard output."""
    print(text)


def error(text: str) -> None:
    """An error on standard error; the first line is highlighted on a terminal."""
    first, _, rest = text.partition("\n")
    console = _stderr()
    console.print(Text("error: ", style="bold red").append(first, style="default"))
    if rest:
        console.print(rest, markup=False)


def summary(title: str, rows: Mapping[str, object], *, next_step: str | None = None) -> None:
    """The summary of a command: a title, a line for each name and value, and what to type next."""
    console = Console(highlight=False, soft_wrap=True)
    if title:
        console.print(Text(title, style="bold"))
    width = max((len(name) for name in rows), default=0)
    for name, value in rows.items():
        console.print(Text(f"  {name:<{width}}  ", style="dim").append(str(value), style="default"))
    if next_step:
        console.print(Text(f"  next: {next_step}", style="dim"))


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str | None = None) -> None:
    """A table on standard output; numbers aligned right, text left."""
    grid = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        numeric = all(isinstance(row[index], int | float) for row in rows)
        grid.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(Text(_cell(value)) for value in row))
    _stdout().print(grid)


def _cell(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
