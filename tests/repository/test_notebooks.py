"""Every notebook opens with its question, carries its outputs, and still runs."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from tests import notebooks

NOTEBOOKS = notebooks.paths()


def a_notebook(*sources: str, small: dict[str, int] | None = None) -> notebooks.Notebook:
    """A notebook by hand; a source that starts with ``#:`` names the cell's tags there."""
    cells = []
    for source in sources:
        cell = nbformat.v4.new_code_cell(source)
        if source.startswith("#:"):
            cell.metadata["tags"] = source.splitlines()[0][2:].split()
        cells.append(cell)
    return nbformat.v4.new_notebook(cells=cells, metadata={"small": small} if small else {})


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_opens_with_its_question_and_carries_its_outputs(path: Path) -> None:
    notebook = notebooks.read(path)
    assert notebook.cells[0].cell_type == "markdown"
    assert notebook.cells[0].source.startswith("# ")
    assert notebook.metadata.kernelspec.name == "python3"
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert any(cell.outputs for cell in code)
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not [output for cell in code for output in cell.outputs if output.output_type == "error"]
    assert path.stat().st_size < 1_500_000


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_runs(path: Path) -> None:
    committed = notebooks.read(path)
    quick = "small" not in committed.metadata
    fresh = notebooks.execute(notebooks.small(committed))
    if quick:
        told = notebooks.differences(committed, fresh)
        assert not told, "\n".join(told)


@pytest.mark.slow
def test_a_difference_is_seen_and_named(tmp_path: Path) -> None:
    varying = "#: varies\nimport time; time.time()"
    old = notebooks.execute(a_notebook("print('queue depth', 12)", varying, "1 + 1"), tmp_path)
    new = notebooks.execute(a_notebook("print('queue depth', 13)", varying, "1 + 1"), tmp_path)
    assert notebooks.differences(old, old) == []
    assert notebooks.differences(old, new) == ["cell 1: stdout, line 1: 'queue depth 12', now 'queue depth 13'"]


def test_a_picture_may_differ_by_a_hair_and_no_more() -> None:
    import base64
    import io

    import numpy as np
    from matplotlib.image import imsave

    def picture(level: float, size: int = 40) -> str:
        stream = io.BytesIO()
        imsave(stream, np.full((size, size, 3), level), format="png")
        return base64.b64encode(stream.getvalue()).decode()

    assert not notebooks._unlike("image/png", picture(0.5), picture(0.505))
    assert "differs by" in notebooks._unlike("image/png", picture(0.5), picture(0.8))
    assert "pixels" in notebooks._unlike("image/png", picture(0.5), picture(0.5, size=80))


def test_the_small_size_is_set_after_the_full_one_and_full_size_cells_are_left_out() -> None:
    cells = "#: parameters\nDOMAINS = 5_000", "#: full-size\nassert DOMAINS == 5_000", "DOMAINS"
    full = a_notebook(*cells, small={"DOMAINS": 50})
    small = notebooks.small(full)
    assert [cell.source.splitlines()[-1] for cell in small.cells] == ["DOMAINS = 50", "DOMAINS"]
    assert full.cells[0].source.endswith("5_000")


def test_a_small_size_for_no_parameter_is_an_error() -> None:
    with pytest.raises(ValueError, match="does not set DOMAIN"):
        notebooks.small(a_notebook("#: parameters\nDOMAINS = 5_000", small={"DOMAIN": 50}))


def test_an_unknown_notebook_lists_those_there_are() -> None:
    with pytest.raises(SystemExit, match="there are:"):
        notebooks.paths(["no-such-notebook"])
