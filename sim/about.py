"""Which program this is: its version, and the versions of what it stands on."""

from __future__ import annotations

__version__ = "0.1.0"


def versions() -> dict[str, str]:
    """Return the versions that a result depends on, to be printed beside it.

    Returns
    -------
    dict of str to str
        ``sim``, ``python``, ``numpy``, ``simpy``, ``pandas``, ``scipy``; a package that is missing says so.
    """
    import platform
    from importlib.metadata import PackageNotFoundError, version

    found = {"sim": __version__, "python": platform.python_version()}
    for package in ("numpy", "simpy", "pandas", "scipy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
