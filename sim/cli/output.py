"""Where results go: a folder that is known to be writable before a long run, and is written whole or not at all."""

from __future__ import annotations

import secrets
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import click

from sim.errors import OutputError, complaint
from sim.files import output_folder

#: Before, the rate says little.
_SOON_S = 3.0
_MINUTES_S = 100.0
#: A share that is estimated may fall by so much for nothing.
_NOISE = 0.001


class Output:
    """The folder of ``--out``; without one, a place that nothing is written to.

    Entering makes the folder and tries it. Leaving by an exception removes what entering made.

    Raises
    ------
    OutputError
        When the folder cannot be made or written.
    """

    def __init__(self, folder: str | None) -> None:
        self.folder = None if folder is None else Path(folder)
        self._made: list[Path] = []

    def __enter__(self) -> Self:
        if self.folder is not None:
            missing = [p for p in (self.folder, *self.folder.parents) if not p.exists()]
            output_folder(self.folder)
            self._made = missing
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            return
        for folder in self._made:
            try:
                folder.rmdir()
            except OSError:
                return

    def write(self, fill: Callable[[Path], object]) -> list[Path]:
        """Let ``fill`` write files to a scratch folder, then move them all to their place; return their paths.

        Raises
        ------
        OutputError
            When a file cannot be written; those that stood there before are untouched.
        """
        if self.folder is None:
            return []
        scratch = self.folder / f".{secrets.token_hex(6)}.part"
        try:
            scratch.mkdir()
            fill(scratch)
            with uninterrupted():
                return self._take(scratch)
        except OutputError as fault:
            raise OutputError(str(fault).replace(str(scratch), str(self.folder))) from fault
        except OSError as fault:
            why = (fault.strerror or str(fault)).lower()
            raise OutputError(
                complaint("output folder", str(self.folder), f"one that can be written ({why})")
            ) from fault
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _take(self, scratch: Path) -> list[Path]:
        assert self.folder is not None
        moves = [(path, self.folder / path.name) for path in sorted(scratch.iterdir())]
        for _, target in moves:
            if target.is_dir():
                raise OutputError(complaint("output file", str(target), "a file, and this is a folder"))
        for path, target in moves:
            path.replace(target)
        return [target for _, target in moves]


class Progress:
    """A line on a terminal that says how far a run is; elsewhere it says nothing."""

    def __init__(self) -> None:
        self._shown = ""
        self._terminal = sys.stderr.isatty()
        self._done = self._since_done = 0.0
        self._since_s = time.monotonic()

    def show(self, done: float, what: str) -> None:
        """Show a share of 0..1 that is done, what it counts, and how long the rest takes at the rate so far.

        Where clearly less is done than before, a run began anew (at the ceiling) or runs were added.
        """
        done = min(max(done, 0.0), 1.0)
        if done < self._done - _NOISE:
            self.start(done)
        self._done = done
        text = f"{done:4.0%}  {what}{self._left(done)}"
        if self._terminal and text != self._shown:
            click.echo(f"\r{text}\033[K", err=True, nl=False)
            self._shown = text

    def start(self, done: float) -> None:
        """Say what was done before: it tells nothing of how long the rest takes."""
        self._since_s, self._since_done = time.monotonic(), done

    def _left(self, done: float) -> str:
        passed_s, more = time.monotonic() - self._since_s, done - self._since_done
        if more <= 0 or done >= 1 or passed_s < _SOON_S:
            return ""
        left_s = passed_s / more * (1 - done)
        return f", about {left_s / 60:,.0f} min left" if left_s >= _MINUTES_S else f", about {left_s:.0f} s left"

    def end(self) -> None:
        """Remove the line."""
        if self._shown:
            click.echo("\r\033[K", err=True, nl=False)
            self._shown = ""


@contextmanager
def progress() -> Iterator[Progress]:
    """Yield a progress line that is gone when the block ends, whichever way."""
    line = Progress()
    try:
        yield line
    finally:
        line.end()


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C and SIGTERM back for the moment in which files take their places."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
