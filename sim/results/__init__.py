"""What came out: sinks that reduce an engine's rows, and the frames, intervals and charts made of them."""

from __future__ import annotations

from sim.results.histogram import LogHistogram
from sim.results.labels import Labels
from sim.results.records import CONNECTION_COLUMNS, MESSAGE_COLUMNS
from sim.results.result import Result
from sim.results.sinks import CountSink, RecordSink, Sink

__all__ = [
    "CONNECTION_COLUMNS",
    "MESSAGE_COLUMNS",
    "CountSink",
    "Labels",
    "LogHistogram",
    "RecordSink",
    "Result",
    "Sink",
]
