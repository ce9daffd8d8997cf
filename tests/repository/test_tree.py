"""What a stranger would trip over in the files themselves."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.repository import tree

# Spelled in parts, so that this file does not contain what it looks for.
REGISTRIES = re.compile(
    "python" + r"hosted\.org|py" + r"pi\.org/simple|registry\.np" + r"mjs\.org|deb\.deb" + r"ian\.org"
)
FOLDERS = ["work", "root", "home", "tmp", "Users", "opt", "private"]
ABSOLUTE = re.compile(r"(?<![\w.~)}/\]-])/(?:" + "|".join(FOLDERS) + r")/[\w.]")
LEFT_OVER = re.compile(r"\b(?:TO" + "DO|FIX" + "ME|X" + r"XX)\b")
#: A picture inside a notebook is no text, though it may spell anything.
PICTURE = re.compile(r'\s*"image/png": "')
BIG = 5_000_000
LONG_FILE, LONG_FUNCTION = 600, 60


def lines(path: Path) -> Iterator[tuple[int, str]]:
    return enumerate(path.read_text(encoding="utf-8").splitlines(), 1)


def lines_with(unwanted: re.Pattern[str]) -> str:
    """Every line of the repository that has what it should not have, one a line."""
    found = [
        f"{tree.name(path)}:{number}: {line.strip()[:100]}"
        for path in tree.texts()
        for number, line in lines(path)
        if unwanted.search(line) and not PICTURE.match(line)
    ]
    return "\n".join(found)


def test_git_or_the_folder_lists_files() -> None:
    listed = {tree.name(p) for p in tree.files()}
    assert {"pyproject.toml", "Makefile", "sim/__init__.py", "README.md"} <= listed


def test_no_file_names_a_package_registry() -> None:
    assert not (found := lines_with(REGISTRIES)), found


def test_no_file_names_a_path_of_one_machine() -> None:
    assert not (found := lines_with(ABSOLUTE)), found


def test_no_file_is_large() -> None:
    found = [f"{tree.name(p)}: {p.stat().st_size / 1e6:.1f} MB" for p in tree.files() if p.stat().st_size > BIG]
    assert not found, "\n".join(found)


def test_nothing_is_left_for_later() -> None:
    assert not (found := lines_with(LEFT_OVER)), found


def test_no_module_is_long() -> None:
    long = {tree.name(p): len(p.read_text(encoding="utf-8").splitlines()) for p in tree.sources()}
    assert not {p: n for p, n in long.items() if n > LONG_FILE}


def test_no_function_is_long() -> None:
    found = []
    for path in tree.sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > LONG_FUNCTION:
                    found.append(f"{tree.name(path)}:{node.lineno}: {node.name} has {length} lines")
    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", tree.sources(), ids=tree.name)
def test_every_module_says_what_it_is(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    if not source.strip():
        assert path.name == "__init__.py"
        return
    assert ast.get_docstring(ast.parse(source)), "no docstring"
    if path.name != "__init__.py":
        assert "from __future__ import annotations" in source


def test_constraints_pin_versions_and_nothing_else() -> None:
    pin = re.compile(r'[a-z0-9]+(-[a-z0-9]+)*==[0-9][0-9A-Za-z.+!]*( ; python_version (<|>=|==) "3\.\d+"( and .*)?)?')
    told = lines(tree.ROOT / "constraints.txt")
    wrong = [f"{n}: {line}" for n, line in told if not line.startswith("#") and not pin.fullmatch(line)]
    assert not wrong, "\n".join(wrong)


def test_every_declared_package_is_pinned() -> None:
    project = tomllib.loads((tree.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = [*project["dependencies"], *(d for extra in project["optional-dependencies"].values() for d in extra)]
    wanted = {re.split(r"[^\w-]", d)[0].lower() for d in declared}
    pinned = {line.split("==")[0] for _, line in lines(tree.ROOT / "constraints.txt")}
    assert wanted <= pinned
