"""Names of destinations and MX hosts, never changed, with what was once made of them: keys, look-ups."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from functools import cached_property
from hashlib import blake2b
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

#: Look-ups kept: a study compares a few policies, and each holds one number a name.
_KEPT = 8


def keys_of(names: Iterable[str]) -> NDArray[np.int64]:
    """Return one signed 64-bit key a name (BLAKE2b, little endian), shape (n,)."""
    digests = b"".join([blake2b(name.encode(), digest_size=8).digest() for name in names])
    return np.frombuffer(digests, dtype="<i8").astype(np.int64)


class Names(Sequence[str]):
    """A sequence of names that never changes.

    Parameters
    ----------
    texts : the names.

    Examples
    --------
    >>> names = Names(["a.example", "b.example"])
    >>> names[1], len(names)
    ('b.example', 2)
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self.texts = tuple(texts)
        self._found: dict[Hashable, Any] = {}

    def __len__(self) -> int:
        return len(self.texts)

    def __iter__(self) -> Iterator[str]:
        return iter(self.texts)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...

    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        return self.texts[index]

    def __reduce__(self) -> tuple[type[Names], tuple[tuple[str, ...]]]:
        return Names, (self.texts,)

    @cached_property
    def keys(self) -> NDArray[np.int64]:
        """The names' keys (`keys_of`), read only."""
        keys = keys_of(self.texts)
        keys.setflags(write=False)
        return keys

    def once(self, what: Hashable, find: Callable[[tuple[str, ...]], T]) -> T:
        """Return what ``find`` makes of the names; asked again for the same ``what`` it is not called.

        Parameters
        ----------
        what : tells one thing that is made of them from another; the last few are kept.
        find : called with the names; nobody may change what it returns.
        """
        if what not in self._found:
            found = find(self.texts)
            while len(self._found) >= _KEPT:
                del self._found[next(iter(self._found))]
            self._found[what] = found
        kept: T = self._found[what]
        return kept
