"""``tlssim table``: a sender's decision tables, as text, Markdown, CSV or drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sim.cli.modes import told
from sim.cli.options import one_of, out_option
from sim.cli.output import Output
from sim.cli.text import say
from sim.errors import ScenarioError, complaint

if TYPE_CHECKING:
    from sim.policy.profile import Profile

FORMATS = ("text", "markdown", "csv")


@click.command("table", short_help="A sender's decision tables, as text, Markdown, CSV or drawn.")
@click.argument("sender", required=False, metavar="[SENDER]")
@click.option(
    "--format", "form", metavar="FORMAT", callback=one_of(*FORMATS), help="text, markdown or csv.  [default: text]"
)
@out_option
def table_command(sender: str | None, form: str | None, out: str | None) -> None:
    """Print the tables by which a sender decides; a ? marks a cell that no source settles.

    SENDER is esa, postfix, ...; all prints the senders side by side. text has the tables as the program reads them:
    what a setting demands, what is seen of a connection, what it comes to, and the reason, then switches, queue and
    retries. markdown is a page for people; csv has one row for each class of evidence and each setting. With --out DIR
    all forms and a picture are written, of every sender where SENDER is all.
    """
    from sim.policy.profiles import SENDERS, profile
    from sim.studies import senders

    name = sender or SENDERS[0]
    if name not in (*SENDERS, "all"):
        raise ScenarioError(complaint("sender", name, [*SENDERS, "all"]))
    asked = [profile(key) for key in (SENDERS if name == "all" else (name,))]
    with Output(out) as output:
        written = output.write(lambda folder: _fill(folder, asked, together=name == "all"))
        if written:
            say(told(written, ""))
        elif name == "all" and form != "csv":
            say(senders.index().rstrip("\n"))
        elif form == "csv":
            say(_csv(asked).rstrip("\n"))
        else:
            say("\n".join(_text(known, form or "text") for known in asked).rstrip("\n"))


def _csv(asked: Sequence[Profile]) -> str:
    """Return the cells as CSV; of several senders in one, with the sender's key before each."""
    import pandas as pd

    from sim.studies import senders

    frames = {known.key: senders.cells_frame(known) for known in asked}
    together = pd.concat(frames, names=["sender", "row"]).reset_index("sender")
    return str(
        (together if len(frames) > 1 else together.drop(columns="sender")).to_csv(index=False, lineterminator="\n")
    )


def _text(sender: Profile, form: str) -> str:
    from sim.studies import senders

    return senders.text(sender) if form == "text" else senders.page(sender)


def _fill(folder: Path, asked: list[Profile], *, together: bool) -> None:
    from sim.files import write_text
    from sim.results import charts
    from sim.studies import senders

    for sender in asked:
        write_text(folder / f"{sender.key}.txt", senders.text(sender))
        write_text(folder / f"{sender.key}.csv", _csv([sender]))
        write_text(folder / f"{sender.key}.md", senders.page(sender, f"{sender.key}.png"))
        charts.save(senders.picture(sender), folder / f"{sender.key}.png", colours=senders.COLOURS)
    if together:
        write_text(folder / "README.md", senders.index("retry-clocks.png"))
        charts.save(senders.clocks_picture(), folder / "retry-clocks.png", colours=senders.COLOURS)
