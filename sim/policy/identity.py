"""Which names of a certificate count, as columns (tech notes 118583 and 200537, user guide 8.5 ch. 21).

The columns say, for each (destination, MX host), whether the certificate's subject alternative names (SAN) or its
common name (CN) match the recipient's e-mail domain, the MX host name, or the PTR name of the address connected to.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.errors import PolicyError, complaint
from sim.terms import NameRule

Flags = NDArray[np.bool_]


def rule_holds(
    rule: NameRule | int,
    *,
    san_present: ArrayLike,
    san_domain: ArrayLike,
    cn_domain: ArrayLike,
    san_mx: ArrayLike,
    cn_mx: ArrayLike,
    san_ptr: ArrayLike,
    cn_ptr: ArrayLike,
) -> Flags:
    """Tell for each certificate whether a name rule holds.

    Parameters
    ----------
    rule : ``NONE`` never holds. ``VERIFY`` (settings 4 and 5): a SAN or the CN names the e-mail domain, or the CN
        names the address's PTR name; MX names do not count. ``HOSTED`` (setting 6, in the order of RFC 6125): when
        there are SAN names only they count, else the CN; either may name the e-mail domain, the MX host or the PTR.
    san_present : whether the certificate has SAN names at all, boolean, shape (n,) or any that broadcasts with it.
    san_domain, cn_domain, san_mx, cn_mx, san_ptr, cn_ptr : what the SAN or CN matches, boolean, likewise.
        A SAN match without SAN names does not count.

    Returns
    -------
    ndarray of bool
        The shape the columns broadcast to.

    Raises
    ------
    PolicyError
        When ``rule`` is no `NameRule`.

    Examples
    --------
    A provider's MX name in the SAN alone satisfies *hosted* and not *verify*:

    >>> names = dict(san_present=True, san_domain=False, cn_domain=False, san_mx=True, cn_mx=False, san_ptr=False,
    ...              cn_ptr=False)
    >>> bool(rule_holds(NameRule.VERIFY, **names)), bool(rule_holds(NameRule.HOSTED, **names))
    (False, True)
    """
    try:
        known = NameRule(rule)
    except ValueError:
        raise PolicyError(complaint("name rule", rule, [r.label for r in NameRule])) from None
    columns = (san_present, san_domain, cn_domain, san_mx, cn_mx, san_ptr, cn_ptr)
    present, s_domain, c_domain, s_mx, c_mx, s_ptr, c_ptr = (
        np.asarray(c, dtype=np.bool_) for c in np.broadcast_arrays(*columns)
    )
    if known is NameRule.NONE:
        return np.zeros(present.shape, dtype=np.bool_)
    if known is NameRule.VERIFY:
        return (present & s_domain) | c_domain | c_ptr
    return np.where(present, s_domain | s_mx | s_ptr, c_domain | c_mx | c_ptr)
