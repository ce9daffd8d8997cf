"""Names for the codes an engine works with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sim.errors import complaint
from sim.terms import Setting

Codes = NDArray[np.int64]

#: The names of the settings of a run of the gateway.
GATEWAY_SETTINGS = tuple(setting.label for setting in Setting)


@dataclass(frozen=True, eq=False)
class Labels:
    """What the codes in an engine's rows stand for.

    Parameters
    ----------
    domains : D names, by destination code.
    providers : D names, the provider of each destination.
    entries : E names of policy entries, the last one ``"(Default)"``.
    entry_of : (D,) codes into `entries`: the entry that matched each destination.
    setting_of : (D,) codes into `setting_names`: the setting in force for each destination.
    hosts : names of MX hosts.
    route_host : (R,) codes into `hosts`, by route code.
    entry_settings : (E,) codes of settings; needed only to name the setting of entries that match no destination.
    setting_names : the sender's own settings, as people read them.

    Raises
    ------
    ValueError
        When lengths or codes do not fit together.
    """

    domains: tuple[str, ...]
    providers: tuple[str, ...]
    entries: tuple[str, ...]
    entry_of: Codes
    setting_of: Codes
    hosts: tuple[str, ...]
    route_host: Codes
    entry_settings: Codes | None = None
    setting_names: tuple[str, ...] = GATEWAY_SETTINGS

    def __post_init__(self) -> None:
        destinations = len(self.domains)
        if len(self.providers) != destinations:
            raise ValueError(complaint("providers", len(self.providers), f"one a destination ({destinations})"))
        self._freeze("entry_of", destinations, len(self.entries))
        self._freeze("setting_of", destinations, len(self.setting_names))
        self._freeze("route_host", None, len(self.hosts))
        if self.entry_settings is not None:
            self._freeze("entry_settings", len(self.entries), len(self.setting_names))

    def _freeze(self, field: str, length: int | None, codes: int) -> None:
        given = getattr(self, field)
        # What nobody can change any more is shared: of a million destinations a copy a run is much.
        frozen = isinstance(given, np.ndarray) and given.dtype == np.int64 and not given.flags.writeable
        array = given if frozen else np.array(given, dtype=np.int64)
        if array.ndim != 1 or (length is not None and array.size != length):
            raise ValueError(complaint(f"shape of {field}", array.shape, f"({length},)"))
        wrong = np.flatnonzero((array < 0) | (array >= codes))
        if wrong.size:
            raise ValueError(complaint(f"{field}[{wrong[0]}]", int(array[wrong[0]]), f"0..{codes - 1}"))
        array.flags.writeable = False
        object.__setattr__(self, field, array)

    @cached_property
    def provider_names(self) -> tuple[str, ...]:
        """Return the P distinct provider names, sorted."""
        return tuple(sorted(set(self.providers)))

    @cached_property
    def provider_of(self) -> Codes:
        """Return (D,) codes into `provider_names`."""
        code = {name: i for i, name in enumerate(self.provider_names)}
        return np.fromiter((code[name] for name in self.providers), np.int64, len(self.providers))

    @cached_property
    def groups(self) -> tuple[Codes, Codes, Codes]:
        """Return the (entry, setting) pairs in use: group of each destination (D,), entry (G,), setting (G,)."""
        known = len(self.setting_names)
        pairs, group_of = np.unique(self.entry_of * known + self.setting_of, return_inverse=True)
        return group_of.astype(np.int64), pairs // known, pairs % known

    @cached_property
    def settings_of_entries(self) -> Codes:
        """Return (E,) codes of the settings of the entries; -1: it matches nothing and nobody named its setting."""
        if self.entry_settings is not None:
            return self.entry_settings
        settings = np.full(len(self.entries), -1, dtype=np.int64)
        settings[self.entry_of[::-1]] = self.setting_of[::-1]
        return settings

    def matches(self, other: Labels) -> bool:
        """Tell whether codes mean the same under both, so that counts may be merged."""
        return self is other or (
            (self.domains, self.providers, self.entries, self.hosts, self.setting_names)
            == (other.domains, other.providers, other.entries, other.hosts, other.setting_names)
            and np.array_equal(self.entry_of, other.entry_of)
            and np.array_equal(self.setting_of, other.setting_of)
            and np.array_equal(self.route_host, other.route_host)
        )
