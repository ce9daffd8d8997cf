"""Names of the simulated destinations, by rank of falling mail: invented, under ``.example`` (RFC 2606).

They depend on nothing but the rank, so a policy file written for one preset and seed fits every other.
The first ranks stand for the large consumer services that measurements name; the rest carry a sector, so that an
entry such as ``.gov.example`` selects a plausible slice of the mail.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from sim.errors import PopulationError, complaint

#: Ranks 1 to 10. Not the real services: types of behaviour, stated in ``data/populations/*-providers.csv``.
HEAD: tuple[str, ...] = (
    "google-mail.example",
    "microsoft-mail.example",
    "yahoo-mail.example",
    "aol-mail.example",
    "isp-one.example",
    "isp-two.example",
    "isp-three.example",
    "isp-four.example",
    "isp-five.example",
    "isp-six.example",
)

#: Sector -> (size in hundredths of the ranks, words). Invented: no published split of destinations by sector is used.
SECTORS: dict[str, tuple[int, tuple[str, ...]]] = {
    "shop": (22, ("books", "shoes", "garden", "toys", "bikes", "coffee", "music", "sports")),
    "tech": (20, ("cloud", "soft", "data", "chips", "robots", "apps", "nets", "code")),
    "media": (12, ("news", "radio", "film", "press", "games", "sound")),
    "edu": (8, ("school", "college", "campus", "library", "academy", "faculty")),
    "logistics": (8, ("freight", "parcel", "rail", "harbour", "courier", "depot")),
    "partners": (7, ("supplier", "reseller", "agency", "consult", "alliance", "broker")),
    "law": (6, ("notary", "counsel", "chambers", "court", "patent")),
    "insurance": (5, ("mutual", "shield", "assure", "claims", "cover")),
    "energy": (4, ("power", "grid", "solar", "wind", "water")),
    "health": (3, ("clinic", "hospital", "care", "pharma", "dental")),
    "bank": (3, ("savings", "credit", "trust", "union", "capital")),
    "gov": (2, ("city", "county", "agency", "tax", "council")),
}


@cache
def _slots() -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple((sector, words) for sector, (size, words) in SECTORS.items() for _ in range(size))


def _mix(rank: NDArray[np.int64]) -> NDArray[np.int64]:
    """Scatter consecutive ranks over 32 bits (the finaliser of MurmurHash3)."""
    low = np.uint64(0xFFFFFFFF)
    h = rank.astype(np.uint64) & low
    h = ((h ^ (h >> np.uint64(16))) * np.uint64(0x85EBCA6B)) & low
    h = ((h ^ (h >> np.uint64(13))) * np.uint64(0xC2B2AE35)) & low
    return (h ^ (h >> np.uint64(16))).astype(np.int64)


def domain_name(rank: int) -> str:
    """Return the name of the destination with the ``rank``-th most mail (1-based).

    Independent of seed and preset; no two ranks share a name. Names are invented (RFC 2606).

    Raises
    ------
    PopulationError
        When ``rank`` is below 1.

    Examples
    --------
    >>> domain_name(1)
    'google-mail.example'
    >>> domain_name(11).endswith(".example")
    True
    """
    if rank < 1:
        raise PopulationError(complaint("rank", rank, "1 or more"))
    return HEAD[rank - 1] if rank <= len(HEAD) else domain_names(1, rank)[0]


def domain_names(count: int, first: int = 1) -> list[str]:
    """Return the names of ``count`` ranks from ``first`` on: those of `domain_name`, many at once."""
    heads = [domain_name(rank) for rank in range(first, min(first + count, len(HEAD) + 1))]
    ranks = np.arange(first + len(heads), first + count, dtype=np.int64)
    scattered = _mix(ranks)
    slots = _slots()
    sector = scattered % len(slots)
    word = (scattered // len(slots)) % np.array([len(words) for _, words in slots])[sector]
    rows = zip(ranks.tolist(), sector.tolist(), word.tolist(), strict=True)
    return heads + [f"{slots[s][1][w]}-{rank}.{slots[s][0]}.example" for rank, s, w in rows]
