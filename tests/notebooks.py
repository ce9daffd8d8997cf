"""Run the notebooks, in place or as copies that are compared with what is committed.

``python tests/notebooks.py run`` executes every notebook of ``notebooks/`` and saves it; ``check`` executes copies
and prints every cell whose output differs. Either takes names of notebooks. Seconds are printed for each.

What a notebook may say about itself:

- a cell tagged ``varies`` is run, its outputs are not compared (versions, seconds);
- a cell tagged ``full-size`` is left out of the quick run of ``make test`` (assertions on the numbers of the text);
- the notebook's metadata ``"small": {"DOMAINS": 200}`` gives the values of the quick run: they are set again at
  the end of the cell tagged ``parameters``. A notebook without it is quick, and ``make test`` compares it in full.
"""

from __future__ import annotations

import argparse
import base64
import io
import re
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
TIMEOUT_S = 600
PIXEL_TOLERANCE = 0.02
ADDRESS = re.compile(r"0x[0-9a-f]{6,}")

Notebook = Any


def paths(names: list[str] | None = None) -> list[Path]:
    """Return the notebooks asked for, or all of them."""
    everything = sorted(FOLDER.glob("*.ipynb"))
    if not names:
        return everything
    wanted = {Path(name).stem for name in names}
    chosen = [p for p in everything if p.stem in wanted]
    if len(chosen) != len(wanted):
        raise SystemExit(f"notebooks: {', '.join(names)}; there are: {', '.join(p.stem for p in everything)}")
    return chosen


def read(path: Path) -> Notebook:
    """Return a notebook as it is committed."""
    return nbformat.read(path, as_version=4)


def tags(cell: Notebook) -> set[str]:
    """Return the tags of a cell."""
    return set(cell.metadata.get("tags", ()))


def small(notebook: Notebook) -> Notebook:
    """Return a copy that runs at the small size, without the cells that hold only at full size."""
    values = notebook.metadata.get("small", {})
    copy = nbformat.from_dict(notebook)
    copy.cells = [cell for cell in copy.cells if not (values and "full-size" in tags(cell))]
    homes = [cell for cell in copy.cells if "parameters" in tags(cell)]
    if values and len(homes) != 1:
        raise ValueError(f"small sizes need one cell tagged 'parameters'; there are {len(homes)}")
    for cell in homes:
        for name, value in values.items():
            if not re.search(rf"^{name}\b", cell.source, re.MULTILINE) and f", {name}" not in cell.source:
                raise ValueError(f"the cell of parameters does not set {name}")
            cell.source += f"\n{name} = {value!r}"
    return copy


def execute(notebook: Notebook, folder: Path = FOLDER) -> Notebook:
    """Run a notebook from top to bottom in a fresh kernel, in the folder given, and return it."""
    here = {"metadata": {"path": str(folder)}}
    client = NotebookClient(notebook, timeout=TIMEOUT_S, kernel_name="python3", record_timing=False, resources=here)
    client.execute()
    notebook.metadata.pop("language_info", None)
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return notebook


def differences(committed: Notebook, fresh: Notebook) -> list[str]:
    """Return one line for each cell whose outputs are not the committed ones."""
    found = []
    pairs = zip(committed.cells, fresh.cells, strict=True)
    for number, (old, new) in enumerate(pairs, 1):
        if old.cell_type != "code" or "varies" in tags(old):
            continue
        before, after = _outputs(old), _outputs(new)
        kinds, now = ([kind for kind, _ in outputs] for outputs in (before, after))
        if kinds != now:
            found.append(f"cell {number}: outputs {kinds}, now {now}")
            continue
        told = [_unlike(kind, a, b) for (kind, a), (_, b) in zip(before, after, strict=True)]
        found += [f"cell {number}: {line}" for line in told if line]
    return found


def _outputs(cell: Notebook) -> list[tuple[str, str]]:
    """List the outputs of a cell as (kind, content), with the pieces of a stream joined."""
    listed: list[tuple[str, str]] = []
    for output in cell.outputs:
        if output.output_type == "stream":
            if listed and listed[-1][0] == output.name:
                listed[-1] = (output.name, listed[-1][1] + output.text)
            else:
                listed.append((output.name, output.text))
        elif output.output_type == "error":
            listed.append(("error", f"{output.ename}: {output.evalue}"))
        else:
            listed += [(kind, str(content)) for kind, content in sorted(output.data.items())]
    return listed


def _unlike(kind: str, old: str, new: str) -> str:
    """Say how two outputs of one kind differ, or return nothing."""
    if kind == "image/png":
        return _unlike_pictures(old, new)
    if kind == "image/svg+xml":
        return ""
    before, after = (ADDRESS.sub("0x", text).splitlines() for text in (old, new))
    for n, (a, b) in enumerate(zip(before, after, strict=False), 1):
        if a.rstrip() != b.rstrip():
            return f"{kind}, line {n}: {a.strip()[:80]!r}, now {b.strip()[:80]!r}"
    return "" if len(before) == len(after) else f"{kind}: {len(before)} lines, now {len(after)}"


def _unlike_pictures(old: str, new: str) -> str:
    from matplotlib.image import imread

    a, b = (np.asarray(imread(io.BytesIO(base64.b64decode(data)), format="png")) for data in (old, new))
    if max(abs(m - n) for m, n in zip(a.shape, b.shape, strict=True)) > 4:
        return f"picture of {a.shape[:2]} pixels, now {b.shape[:2]}"
    height, width = (min(m, n) for m, n in zip(a.shape[:2], b.shape[:2], strict=True))
    gap = float(np.abs(a[:height, :width] - b[:height, :width]).mean())
    return f"picture differs by {gap:.3f} of the full scale" if gap > PIXEL_TOLERANCE else ""


def main(arguments: list[str] | None = None) -> int:
    """Run or check the notebooks; return 1 when one fails or differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["run", "check"])
    parser.add_argument("names", nargs="*", metavar="NOTEBOOK")
    chosen = parser.parse_args(arguments)
    failed = 0
    for path in paths(chosen.names):
        begun = time.perf_counter()
        committed = read(path)
        try:
            fresh = execute(read(path))
            told = differences(committed, fresh) if chosen.what == "check" else []
        except Exception as fault:
            told = [str(fault)]
        else:
            if chosen.what == "run":
                _save(path, fresh)
        failed += bool(told)
        print(f"{path.name}: {'failed' if told else 'ok'}, {time.perf_counter() - begun:.1f} s", flush=True)
        print("".join(f"  {line}\n" for line in told), end="", flush=True)
    return int(failed > 0)


def _save(path: Path, notebook: Notebook) -> None:
    from sim.files import write_text

    write_text(path, nbformat.writes(notebook).rstrip("\n") + "\n")


if __name__ == "__main__":
    sys.exit(main())
