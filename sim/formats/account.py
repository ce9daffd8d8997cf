"""What became of every line of a file: understood, ignored or guessed. Nothing is dropped in silence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

from sim.errors import PolicyError

if TYPE_CHECKING:
    from pandas import DataFrame

Kind = Literal["understood", "ignored", "guessed"]


@dataclass(frozen=True, slots=True)
class AccountRow:
    """One line of a file and what was made of it.

    Attributes
    ----------
    file, line : where it stands; what was missing is shown at the section it is missing from.
    text : the line, blanks around it removed; for what was missing, the line that was taken in its place.
    kind : ``understood``; ``ignored``, kept and written back but without effect; ``guessed``, a value was assumed.
    reason : why it was ignored or guessed, or a remark.
    changes_answer : whether the results could be different if it were used or known.
    """

    file: str
    line: int
    text: str
    kind: Kind
    reason: str = ""
    changes_answer: bool = False


def raise_all(texts: Iterable[str]) -> None:
    """Raise a `PolicyError` of the first text with the others as its notes; none where there is none."""
    first, *others = [*texts] or [""]
    if not first:
        return
    error = PolicyError(first)
    for other in others:
        error.add_note(other)
    raise error


def account_frame(rows: Iterable[AccountRow]) -> DataFrame:
    """Lay out an account as a frame: file, line, text, kind, reason, changes_answer; one row a line, in order."""
    import pandas as pd

    columns = list(AccountRow.__dataclass_fields__)
    frame = pd.DataFrame([asdict(row) for row in rows], columns=columns)
    return frame.astype({"line": "int64", "changes_answer": "bool"})
