"""The command line: it reads arguments, asks the package, and prints. What it knows, Python knows too."""

from __future__ import annotations

from sim.cli.app import main

__all__ = ["main"]
