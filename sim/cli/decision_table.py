"""``tlssim table``: a sender's decision tables, as text, Markdown, CSV or drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sim.cli.modes import told
from sim.cli.options import one_of, out_option
from sim.cli.output import Output
from sim.cli.text import say
from sim.errors import ScenarioError, complaint

FORMATS = ("text", "markdown", "csv")


@click.command("table", short_help="A sender's decision tables, as text, Markdown, CSV or drawn.")
@click.argument("sender", required=False, metavar="[SENDER]")
@click.option(
    "--format", "form", metavar="FORMAT", callback=one_of(*FORMATS), help="text, markdown or csv.  [default: text]"
)
@out_option
def table_command(sender: str | None, form: str | None, out: str | None) -> None:
    """Print the tables by which a sender decides; a ? marks a cell that no source settles.

    text has the tables as the program reads them: what a setting demands, what is seen of a connection, what it comes
    to, and the reason. markdown and csv have one row for each class of evidence and each setting. With --out DIR all
    forms and a picture are written.
    """
    from sim.policy.profiles.esa import matrix, tables, unsettled
    from sim.scenario import SENDERS

    name = sender or SENDERS[0]
    if name not in SENDERS:
        raise ScenarioError(complaint("sender", name, SENDERS))
    text = tables().text([(seen, demand) for seen, demand, _ in unsettled()]) + "\n?: no source settles the cell.\n"
    with Output(out) as output:
        texts = {"text": text, "markdown": markdown(*matrix()), "csv": csv_text()}
        written = output.write(lambda folder: _fill(folder, name, texts))
        if written:
            say(told(written, ""))
        else:
            say(texts[form or "text"].rstrip("\n"))


def markdown(words: list[list[str]], rows: list[str], columns: list[str]) -> str:
    """Return the decision matrix as a Markdown table."""
    lines = [["a connection shows", *columns], ["---"] * (len(columns) + 1)]
    lines += [[row, *cells] for row, cells in zip(rows, words, strict=True)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def csv_text() -> str:
    """Return one row a (class of evidence, setting): what it comes to, why, and whether a source settles it."""
    import pandas as pd

    from sim.policy.profiles.esa import tables, unsettled
    from sim.terms import Outcome, Reason, Seen, Setting

    built = tables()
    marks = {(seen, demand): switches for seen, demand, switches in unsettled()}
    rows: list[dict[str, Any]] = []
    for seen in Seen:
        for setting in Setting:
            demand, rule = built.plain(setting)
            rows.append(
                {
                    "seen": seen.label,
                    "setting": setting.label,
                    "demand": demand.label,
                    "name_rule": rule.label,
                    "outcome": Outcome(int(built.outcome[demand, seen, 0])).label,
                    "reason": Reason(int(built.reason[demand, seen])).label,
                    "settled": (seen, demand) not in marks,
                    "switches": " ".join(marks.get((seen, demand), ())),
                }
            )
    return pd.DataFrame(rows).to_csv(index=False, lineterminator="\n")


def _fill(folder: Path, sender: str, texts: dict[str, str]) -> None:
    from sim.files import write_text
    from sim.policy.profiles.esa import SOURCE, matrix
    from sim.results import charts

    for form, ending in (("text", "txt"), ("markdown", "md"), ("csv", "csv")):
        write_text(folder / f"{sender}.{ending}", texts[form])
    words, rows, columns = matrix()
    never = [name for j, name in enumerate(columns) if not any("clear" in row[j] for row in words)]
    drawn = charts.decision_matrix(
        words, rows, columns, transpose=False,
        title=f"{', '.join(never[:-1])} and {never[-1]} never send in clear",
        caption=f"Rows: what one connection to one MX host shows. ?: no source settles the cell. Source: {SOURCE}.",
    )  # fmt: skip
    charts.save(drawn, folder / f"{sender}.png")
