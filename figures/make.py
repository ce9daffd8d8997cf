"""Make the pictures of this folder and the numbers of the README anew: ``python figures/make.py`` (``make figures``).

The main job's come from ``tlssim modes`` as anybody runs it, the others from the public functions, so that none can
say what the program does not.
"""

from __future__ import annotations

import csv
import math
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import sim
from sim.files import write_text
from sim.policy.profiles import SENDERS, esa, profile
from sim.results import charts
from sim.results.findings import caption, percent
from sim.studies import senders
from sim.terms import Fate, Seen, Setting

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURES = Path(__file__).resolve().parent
README = FIGURES.parent / "README.md"
SENDER_PAGES = FIGURES.parent / "docs" / "senders"
KEPT = ("modes.png", "modes.csv")
BEGIN, END = "<!-- modes:begin -->", "<!-- modes:end -->"

#: Fate in modes.csv -> the heading of its column.
SHOWN = {fate.label: fate.label for fate in Fate if fate != Fate.QUEUED}
NOTE = (
    "Per cent of all messages, with 95 % intervals; no interval where the setting never does it. Where the "
    "documentation can be read in two ways, or nobody has measured what decides, a setting has two rows."
)


def run_modes(folder: Path) -> None:
    """Write the results of the main job to a folder."""
    command = Path(sys.executable).with_name("tlssim")
    subprocess.run([command, "modes", "--out", folder], check=True)


def block(table: Path) -> str:
    """Return the README's table of numbers, made from ``modes.csv``: a row a setting and reading."""
    with table.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    lines = [["TLS setting", "read as", *SHOWN.values(), "deferred"], ["---", "---", *["---:"] * (len(SHOWN) + 1)]]
    for (setting, reading), group in groupby(rows, key=lambda row: (row["setting"], row["reading"])):
        of = {row["fate"]: row for row in group}
        shares = [_percent(of[fate], "share", "low", "high") for fate in SHOWN]
        deferred = _percent(next(iter(of.values())), "deferred_share", "deferred_low", "deferred_high")
        lines.append([setting, reading, *shares, deferred])
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + f"\n\n{NOTE}"


def _percent(row: dict[str, str], *columns: str) -> str:
    """Return a share in per cent with its interval: ``2.4 (2.3 to 2.5)``."""
    share, low, high = (100 * float(row[column] or "nan") for column in columns)
    if math.isnan(low):
        return f"{share:.1f}" if share else "0"
    return f"{share:.1f} ({low:.1f} to {high:.1f})"


def with_block(page: str, text: str) -> str:
    """Return the page with the text between its two marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    if not after:
        raise SystemExit(f"README.md lacks the marks {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{text}\n{END}{after}"


def decision_matrix() -> Figure:
    """Draw what each setting does with what a connection shows, as the tables of the ESA's profile say it."""
    words, rows, columns = esa.matrix()
    never = [name for j, name in enumerate(columns) if not any("clear" in row[j] for row in words)]
    where = [name for name, row in zip(rows, words, strict=True) if "clear" in row[Setting.PREFERRED]]
    demands = esa.tables().demand.tolist()
    marks: Counter[tuple[str, ...]] = Counter()
    for _, demand, switches in esa.unsettled():
        marks[switches] += demands.count(demand)
    title = (
        f"{', '.join(never[:-1])} and {never[-1]} never send in clear; Preferred does where STARTTLS is "
        f"{', '.join(where[:-1])} or {where[-1]}"
    )
    note = (
        f"Rows: what one connection to one MX host shows. ?: no source settles the cell ({marks.total()} of "
        f"{len(Seen) * len(Setting)}); in {marks['tls_failure_next_mx',]} of these it is settled that mail is not "
        "sent, and open whether the next MX host is tried at once. name mismatch, verified: by the setting's own rule "
        "of names. clear, 2nd try: the same host at once, without STARTTLS. Source: Cisco tech note 118955."
    )
    return charts.decision_matrix(words, rows, columns, title=title, caption=note, transpose=False)


def stripped_queue() -> Figure:
    """Draw the queue over time where TLS is required and the network removes STARTTLS: five days of mail."""
    days, seed = 5, 1
    population = sim.Population.preset("stripped-country", domains=300, seed=seed)
    mail = sim.Workload(messages_per_day=1_000)
    scenario = sim.Scenario(population=population, workload=mail, days=days).with_setting(Setting.REQUIRED)
    result = sim.simulate(scenario, seed=seed)
    timeline = result.timeline("1h")
    lifetime_h = scenario.policy.profiles["Default"].max_queue_time_s / 3_600
    events = ((lifetime_h, f"the first mail is {lifetime_h:.0f} h old"), (days * 24, "the last mail arrives"))
    kept = timeline["queued_messages"][timeline["time_h"] <= lifetime_h]
    title = (
        f"Required where STARTTLS is stripped: {kept.iloc[-1]:,} messages queue up until the first expires, after "
        f"{lifetime_h:.0f} h; in the end {percent(result.bounced / result.injected)} % of the mail bounces"
    )
    note = caption(
        n=1, seed=seed, population=population.name, weighting=population.weighting, messages=result.injected,
        domains=len(population.domains),
    )  # fmt: skip
    return charts.queue(timeline, events, title=title, caption=note)


def sender_pages() -> dict[str, str]:
    """Return the pages of ``docs/senders`` by their names: one a sender, and the index."""
    pages = {f"{key}.md": senders.page(profile(key), f"../../figures/senders/{key}.png") for key in SENDERS}
    return pages | {"README.md": senders.index("../../figures/retry-clocks.png")}


#: Pictures that the program's own functions draw.
DRAWN = {"decision-matrix.png": decision_matrix, "queue-required-stripped.png": stripped_queue}
#: The same of the senders, in few colours.
DRAWN_FLAT: dict[str, Callable[[], Figure]] = {
    "retry-clocks.png": senders.clocks_picture,
    **{f"senders/{key}.png": partial(senders.picture, profile(key)) for key in SENDERS},
}


def make_senders() -> None:
    """Write the pages and pictures of the senders."""
    for name, text in sender_pages().items():
        write_text(SENDER_PAGES / name, text)
    for name, draw in DRAWN_FLAT.items():
        charts.save(draw(), FIGURES / name, colours=senders.COLOURS)


def main() -> None:
    """Run the main job, keep its picture and table here, put its numbers into the README, draw and write the rest.

    ``python figures/make.py senders`` makes what is of the senders alone.
    """
    if sys.argv[1:] == ["senders"]:
        make_senders()
        return
    with tempfile.TemporaryDirectory() as folder:
        run_modes(Path(folder))
        for name in KEPT:
            shutil.copyfile(Path(folder) / name, FIGURES / name)
    for name, draw in DRAWN.items():
        charts.save(draw(), FIGURES / name)
    make_senders()
    write_text(README, with_block(README.read_text(encoding="utf-8"), block(FIGURES / "modes.csv")))
    made = ", ".join(f"figures/{name}" for name in (*KEPT, *DRAWN, *DRAWN_FLAT))
    print(f"made: {made}, docs/senders, and the numbers of README.md")


if __name__ == "__main__":
    main()
