"""A parameter carries its unit, its range and its source, once: beside its default."""

from __future__ import annotations

import math
from dataclasses import Field, field, fields
from typing import Any

from sim.errors import PolicyError, complaint


def param(
    default: Any,
    *,
    unit: str,
    source: str,
    low: float | None = None,
    high: float | None = None,
    whole: bool = False,
) -> Any:
    """Declare a dataclass field with its unit, range and source as metadata.

    Parameters
    ----------
    default : the value of a shipped gateway; ``None`` where the absence of a value has a meaning.
    unit : what the number counts: ``"s"``, ``"connections"``.
    source : where default and range come from.
    low, high : the range, both ends allowed; ``None`` is no bound.
    whole : whether only whole numbers are meant.

    Returns
    -------
    dataclasses.Field
        To stand on the right of a field of a dataclass.
    """
    return field(default=default, metadata={"unit": unit, "source": source, "low": low, "high": high, "whole": whole})


def allowed_range(f: Field[Any]) -> str:
    """Say the range of a field made by `param`: ``1..1000 connections``."""
    low, high, unit = f.metadata["low"], f.metadata["high"], f.metadata["unit"]
    kind = "a whole number, " if f.metadata["whole"] else ""
    if low is None and high is None:
        return f"{kind}any number of {unit}"
    if high is None:
        return f"{kind}{low} or more {unit}"
    return f"{kind}at most {high} {unit}" if low is None else f"{kind}{low}..{high} {unit}"


def in_range(f: Field[Any], value: object) -> bool:
    """Tell whether a value is a number that a field made by `param` allows."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if isinstance(value, float) and not math.isfinite(value):
        return False
    if f.metadata["whole"] and not isinstance(value, int):
        return False
    low, high = f.metadata["low"], f.metadata["high"]
    return (low is None or value >= low) and (high is None or value <= high)


def check_params(instance: Any, owner: str) -> None:
    """Hold every field made by `param` to its own range; a ``None`` passes where it is the default.

    Parameters
    ----------
    instance : a dataclass instance.
    owner : how the error names it: ``[bank.example]``, ``bounce profile Short_Life``.

    Raises
    ------
    PolicyError
        Naming the first field that is no number or out of range.
    """
    for f in fields(instance):
        if "unit" not in f.metadata:
            continue
        value = getattr(instance, f.name)
        if (value is None and f.default is None) or in_range(f, value):
            continue
        raise PolicyError(complaint(f"{owner} {f.name}", value, allowed_range(f)))
