"""Who receives: domains, MX hosts, their back ends and the routes between them, as columns."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Self

from sim.errors import PopulationError, complaint
from sim.names import Names
from sim.world import columns
from sim.world.account import ACCOUNT_COLUMNS, GIVEN
from sim.world.figures import preset_names
from sim.world.presets import Built, build, build_preset, figures_of

if TYPE_CHECKING:
    import pandas as pd

    from sim.world.destinations_csv import Listed

DEFAULT_BEHAVIOUR = "2020s-web"
#: What is made of a frame once, and outlives a change of the others.
_MADE_OF = {"domains": ("names", "providers"), "hosts": ("host_names",)}
#: Draws a population again: under the seed of the drawing, and of the evidence (None: the figures as they stand).
Redraw = Callable[[int, int | None], "Population"]


@dataclass(frozen=True, eq=False)
class Population:
    """Receivers as columns: thousands to millions of rows, read only.

    Attributes
    ----------
    name : preset, ``<file> (peers as <preset>)`` or ``custom``.
    seed : of the drawing; 0 where nothing was drawn.
    year : era of the figures.
    weighting : ``message`` or ``domain``: what the preset's figures are shares of.
    domains : one row a destination, by falling ``messages`` (mail weight): domain, messages, provider, dns (code of
        `sim.terms.Dns`), dns_temporary_rate, first_4yz_rate, rescued_share, persistent_4yz_share (of
        those not rescued), refused_5yz_rate, greylist_s (0 = none), new_pair_rate, mta_sts (code of
        `sim.terms.MtaSts`: mode of the policy a look-up finds).
    hosts : one row an MX host: host, provider, rtt_s, throughput_bytes_per_s, accept_median_s, accept_sigma,
        outage_share (of time, up to 0.1), outage_mean_s, unreachable_s (until a silent host is given up).
    backends : servers behind the hosts, one or more each, in host order: host (row number), weight (1 a host), the
        probability of each stage a connection can end at (the rest completes TLS), tls_version and chain (codes),
        san_present, san_mx, cn_mx, san_ptr, cn_ptr.
    routes : (domain, MX host) in domain order, preference ascending: domain, host (row numbers), preference,
        stripped (the path removes STARTTLS, persistently), san_domain, cn_domain (certificate names the domain), dane
        (code of `sim.terms.Dane`: the host's TLSA records, as seen for the domain and held against the certificate),
        sts_listed (the domain's MTA-STS policy lists the host).
    account : the figures used: parameter, role (input, provider, check, view, evidence, file), value, achieved, unit,
        weighting, status (measured, inferred, assumed, given, drawn), source, note, low, high, range (its reason).
    messages_are_counts : whether ``messages`` are messages a day, and not only weights.
    evidence : seed under which its figures were drawn in their ranges; None where they are taken as they stand.
    drawn_by : how to draw it again under other seeds; None where nothing was drawn, or columns were replaced since.

    Examples
    --------
    >>> population = Population.preset("alexa-2015", domains=100, seed=1)
    >>> len(population.domains)
    100
    """

    name: str
    seed: int
    year: int
    weighting: str
    domains: pd.DataFrame
    hosts: pd.DataFrame
    backends: pd.DataFrame
    routes: pd.DataFrame
    account: pd.DataFrame
    messages_are_counts: bool = False
    evidence: int | None = None
    drawn_by: Redraw | None = None

    def __post_init__(self) -> None:
        for frame in columns.FRAMES:
            object.__setattr__(self, frame, columns.checked(getattr(self, frame), frame))
        columns.check_together(self.domains, self.hosts, self.backends, self.routes)

    @classmethod
    def preset(cls, name: str, *, domains: int = 5_000, seed: int = 1, **overrides: float | None) -> Self:
        """Draw a population from published measurements (``docs/populations.md``).

        Parameters
        ----------
        name : one of `Population.presets`.
        domains : destinations, 1 or more; named after their rank of falling mail, the same in every preset, but that
            lists of organisations leave out the ten consumer services.
        seed : of the drawing. The same arguments give the same bytes on every run.
        **overrides : any figure of ``data/populations/<name>.csv`` or its bases: ``first_4yz_rate=0.0``. Exclusive
            shares are rescaled to sum to 1.

        Raises
        ------
        PopulationError
            For an unknown preset or parameter (with the nearest one), a value out of range, or no domains.
        """
        return cls._of_preset(name, domains, overrides, seed, None)

    @classmethod
    def _of_preset(
        cls, name: str, domains: int, overrides: Mapping[str, float | None], seed: int, evidence: int | None
    ) -> Self:
        built = build_preset(name, domains=domains, seed=seed, given=overrides, evidence=evidence)
        draw = partial(cls._of_preset, name, domains, overrides)
        return cls._of(built, name=name, seed=seed, evidence=evidence, drawn_by=draw)

    def __repr__(self) -> str:
        return (
            f"<Population {self.name}: {len(self.domains):,} domains, {len(self.hosts):,} MX hosts, seed {self.seed}, "
            f"figures by {self.weighting}>"
        )

    @staticmethod
    def presets() -> tuple[str, ...]:
        """Return the names of the presets."""
        return preset_names()

    @classmethod
    def read_csv(
        cls,
        path: str | os.PathLike[str],
        *,
        preset: str = DEFAULT_BEHAVIOUR,
        seed: int = 1,
        **overrides: float | None,
    ) -> Self:
        """Read a user's destinations and their mail; their behaviour is drawn from a preset's figures.

        Figures by message are assigned along the user's own mail, figures by domain with equal weights. A provider's
        own mail domain (``gmail.com``, ``google-mail.example``) is recognised by name; every other domain runs its own
        hosts or is hosted, at the preset's shares.

        Parameters
        ----------
        path : CSV with a header and the columns ``domain`` and ``messages`` (a day). Where known, ``dane`` (state of
            the TLSA records of its MX hosts: ``usable-match``), ``mta_sts`` (mode of its policy: ``enforce``) and
            ``sts_listed`` (``yes`` or ``no``: the policy lists its MX hosts); an empty cell is drawn. Other columns are
            ignored and counted in the account.
        preset, seed, **overrides : as for `preset`.

        Raises
        ------
        PopulationError
            Naming file, line and value of what cannot be read.
        """
        from sim.world.destinations_csv import read_destinations

        return cls._of_list(read_destinations(path), preset, overrides, seed, None)

    @classmethod
    def _of_list(
        cls, listed: Listed, preset: str, overrides: Mapping[str, float | None], seed: int, evidence: int | None
    ) -> Self:
        figures = figures_of(preset, overrides, evidence)
        built = build(figures, listed.domains, listed.messages, seed=seed, stated=listed.stated)
        built.account[:0] = listed.account
        name, draw = f"{listed.name} (peers as {preset})", partial(cls._of_list, listed, preset, overrides)
        return cls._of(built, name=name, seed=seed, evidence=evidence, drawn_by=draw, counts=True)

    @classmethod
    def custom(cls, specs: Sequence[Mapping[str, Any]], *, name: str = "custom", year: int = 2024) -> Self:
        """Make a small population by hand: what is not said is a healthy peer with TLS 1.3.

        Its certificate is trusted and names the MX host, as a provider's does, and not the recipient's domain. So it
        passes Required - Verify Hosted Domains, but Required - Verify only with ``san_domain`` (or another name that
        this setting counts).

        Parameters
        ----------
        specs : one mapping a domain: ``domain``, any column of ``domains``, and ``hosts``: mappings of ``host``,
            ``preference``, any column of ``hosts``, ``routes`` and ``backends``, or a list ``backends`` of such.
            Codes may be spelt: ``{"chain": "self-signed", "dns": "nxdomain", "dane": "usable-match"}``. A host that
            several domains share is described once. Without ``hosts`` a domain has ``mx1.<domain>``.

        Raises
        ------
        PopulationError
            For an unknown key (with the nearest one), a wrong value, or a host described twice.
        """
        import pandas as pd

        from sim.world.custom import custom_frames

        account = pd.DataFrame([], columns=list(ACCOUNT_COLUMNS))
        frames = custom_frames(specs)
        return cls(
            name,
            0,
            year,
            "domain",
            domains=frames["domains"],
            hosts=frames["hosts"],
            backends=frames["backends"],
            routes=frames["routes"],
            account=account,
            messages_are_counts=True,
        )

    @classmethod
    def _of(
        cls, built: Built, *, name: str, seed: int, evidence: int | None, drawn_by: Redraw, counts: bool = False
    ) -> Self:
        import pandas as pd

        return cls(
            name=name,
            seed=seed,
            year=built.year,
            weighting=built.weighting,
            domains=built.domains,
            hosts=built.hosts,
            backends=built.backends,
            routes=built.routes,
            account=pd.DataFrame(built.account, columns=list(ACCOUNT_COLUMNS)),
            messages_are_counts=counts,
            evidence=evidence,
            drawn_by=drawn_by,
        )

    def figure(self, parameter: str) -> Mapping[str, Any] | None:
        """Return the row of the account of a figure that was an input; None where there is none of that name."""
        rows = self.account[(self.account["parameter"] == parameter) & (self.account["role"] == "input")]
        return {str(name): value for name, value in rows.iloc[0].items()} if len(rows) else None

    def redrawn(self, seed: int, evidence: int | None = None) -> Population:
        """Return the population as another seed draws it; the same one where nothing was drawn.

        Parameters
        ----------
        seed : of the drawing.
        evidence : a seed draws every figure that has a range uniformly in it (``docs/decisions/evidence.md``); None =
            the figures this population has.

        Examples
        --------
        >>> population = Population.preset("2020s-web", domains=100)
        >>> account = population.redrawn(1, evidence=7).account.set_index("parameter")
        >>> account.loc["own_strict", "status"], bool(0.5 <= account.loc["own_strict", "value"] <= 0.956)
        ('drawn', True)
        """
        return self if self.drawn_by is None else self.drawn_by(seed, self.evidence if evidence is None else evidence)

    @cached_property
    def names(self) -> Names:
        """The destinations' names, in order."""
        return Names(self.domains["domain"].tolist())

    @cached_property
    def providers(self) -> tuple[str, ...]:
        """The provider of each destination."""
        return tuple(self.domains["provider"].tolist())

    @cached_property
    def host_names(self) -> Names:
        """The MX hosts' names, in order."""
        return Names(self.hosts["host"].tolist())

    @cached_property
    def hash(self) -> str:
        """BLAKE2b over the bytes of all columns and the year: 16 hexadecimal digits."""
        return columns.hash_frames({frame: getattr(self, frame) for frame in columns.FRAMES}, self.year)

    def with_(self, **changes: Mapping[str, Any]) -> Self:
        """Return a population with columns replaced; this one stays as it is.

        Parameters
        ----------
        **changes : frame name to new columns: ``with_(domains={"dns_temporary_rate": 0.0})``. A column is a scalar or
            one value a row.

        Raises
        ------
        PopulationError
            For an unknown frame or column, a wrong length or a value out of range.
        """
        import pandas as pd

        frames: dict[str, pd.DataFrame] = {}
        rows, by_caller = [], {"status": GIVEN, "source": "the caller"}
        for frame, new in changes.items():
            if frame not in columns.FRAMES:
                raise PopulationError(complaint("frame", frame, tuple(columns.FRAMES)))
            old: pd.DataFrame = getattr(self, frame)
            for column, value in new.items():
                if column not in columns.FRAMES[frame]:
                    raise PopulationError(complaint(f"{frame} column", column, tuple(columns.FRAMES[frame])))
                if hasattr(value, "__len__") and not isinstance(value, str) and len(value) != len(old):
                    raise PopulationError(complaint(f"{frame}.{column}", f"{len(value)} values", f"{len(old)} values"))
                rows.append({"parameter": f"{frame}.{column}", "role": "input", **by_caller})
            frames[frame] = old.assign(**dict(new))
        noted = [*self.account.to_dict("records"), *rows]
        account = pd.DataFrame(noted, columns=list(ACCOUNT_COLUMNS))
        return self._with_frames(frames, account=account, drawn_by=None)

    def _with_frames(self, frames: Mapping[str, pd.DataFrame], **others: object) -> Self:
        """Return a copy in which these frames are checked and put in; what was made of the others is kept."""
        new = copy(self)
        stale = {"hash", *(name for frame in frames for name in _MADE_OF.get(frame, ()))}
        for name in stale & vars(new).keys():
            del vars(new)[name]
        checked = {name: columns.checked(frame, name) for name, frame in frames.items()}
        vars(new).update(checked | others)
        columns.check_together(new.domains, new.hosts, new.backends, new.routes)
        return new
