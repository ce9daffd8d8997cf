"""Make the pictures of this folder and the numbers of the README anew: ``python figures/make.py`` (``make figures``).

Both come from the main job as anybody runs it, ``tlssim modes``, so that neither can say what the program does not.
"""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from sim.files import write_text

FIGURES = Path(__file__).resolve().parent
README = FIGURES.parent / "README.md"
KEPT = ("modes.png", "modes.csv")
BEGIN, END = "<!-- modes:begin -->", "<!-- modes:end -->"

#: Column of modes.csv -> its heading; shares are printed as per cent of the messages.
SHOWN = {
    "setting": "TLS setting",
    "in_clear_share": "in clear",
    "encrypted_share": "encrypted, not verified",
    "verified_share": "encrypted and verified",
    "bounced_share": "bounced",
    "deferred_share": "deferred",
}


def run_modes(folder: Path) -> None:
    """Write the results of the main job to a folder."""
    command = Path(sys.executable).with_name("tlssim")
    subprocess.run([command, "modes", "--out", folder], check=True)


def block(table: Path) -> str:
    """Return the README's table of numbers, made from ``modes.csv``."""
    with table.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    lines = [list(SHOWN.values()), ["---", *["---:"] * (len(SHOWN) - 1)]]
    for row in rows:
        setting, *shares = (row[column] for column in SHOWN)
        lines.append([setting, *(f"{100 * float(share):.1f} %" for share in shares)])
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def with_block(page: str, text: str) -> str:
    """Return the page with the text between its two marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    if not after:
        raise SystemExit(f"README.md lacks the marks {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{text}\n{END}{after}"


def main() -> None:
    """Run the main job, keep its picture and table here, and put its numbers into the README."""
    with tempfile.TemporaryDirectory() as folder:
        run_modes(Path(folder))
        for name in KEPT:
            shutil.copyfile(Path(folder) / name, FIGURES / name)
    write_text(README, with_block(README.read_text(encoding="utf-8"), block(FIGURES / "modes.csv")))
    print("made: " + ", ".join(f"figures/{name}" for name in KEPT) + ", and the numbers of README.md")


if __name__ == "__main__":
    main()
