"""expected(): what a pass, a message or one connection comes to, without a clock, under each setting of a sender."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sim.delivery.analytic import ENDS, STEPS, pass_probabilities, route_steps, settings_of
from sim.delivery.retry_sums import message_probabilities
from sim.errors import ScenarioError, complaint
from sim.scenario import Scenario
from sim.terms import Setting, Term

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

_BY = ("domain", "mx_host")


def expected(
    scenario: Scenario,
    settings: Sequence[Term] | None = None,
    per: str = "pass",
    *,
    by: str = "domain",
    sender: str | None = None,
) -> pd.DataFrame:
    """Return what one pass, or a message, comes to for each destination under each TLS setting, without a clock.

    Parameters
    ----------
    scenario : its policy rules only through the switches; every destination is asked under every setting.
    settings : which of the sender's; None = all.
    per : ``pass``: one try over the MX hosts, of a message that is new; ``message``: with all its retries
        (`sim.delivery.retry_sums` lists the assumptions).
    by : ``domain``, or ``mx_host``: what one connection of a pass to each MX host comes to.
    sender : key of another sender than the scenario's, as it is shipped.

    Returns
    -------
    DataFrame
        Rows domain x setting: ``domain``, ``setting``, ``in_clear``, ``encrypted``, ``verified``, ``bounced``,
        ``deferred`` (probabilities that sum to 1; of a message the first four do, and ``deferred`` stands beside them),
        ``mail_share``, and ``in_force`` where the policy has this setting (of another sender: the one nearest to it).
        By MX host, rows setting x MX host of a domain: ``domain``, ``mx_host``, ``preference``, ``setting`` and
        probabilities of a connection made after the look-up, the share of time the host is down with them: the same
        five, where ``bounced`` and ``deferred`` end the pass, ``next_host``, and ``bounced_if_last`` (the next host,
        and the message bounces when there is none); then ``mail_share`` and ``in_force`` of the domain.

    Raises
    ------
    ScenarioError
        When ``per`` or ``by`` is something else, or an MX host is asked for a message.
    """
    rates = {"pass": pass_probabilities, "message": message_probabilities}
    if per not in rates:
        raise ScenarioError(complaint("per", per, rates))
    if by not in _BY:
        raise ScenarioError(complaint("by", by, _BY))
    if by == "mx_host" and per != "pass":
        raise ScenarioError(complaint("per", per, "pass, beside by='mx_host': a message meets several hosts"))
    scenario = scenario.sent_by(sender)
    asked = settings_of(scenario, settings)
    if by == "domain":
        chance = rates[per](scenario, asked)
        return _frame(scenario, asked, chance, ENDS, np.arange(chance.shape[1]))
    routes = scenario.population.routes
    chance = np.moveaxis(route_steps(scenario, asked), 2, 1)
    frame = _frame(scenario, asked, chance, STEPS, routes["domain"].to_numpy())
    hosts = scenario.population.hosts["host"].to_numpy()[routes["host"].to_numpy()]
    frame.insert(1, "mx_host", np.tile(hosts, len(asked)))
    frame.insert(2, "preference", np.tile(routes["preference"].to_numpy(), len(asked)))
    return frame


def _frame(
    scenario: Scenario,
    settings: Sequence[Term],
    chance: NDArray[np.float64],
    columns: Sequence[str],
    domain: NDArray[np.int64],
) -> pd.DataFrame:
    """Return probabilities, shape (settings, rows, columns), as a frame; each row belongs to a domain."""
    import pandas as pd

    domains = scenario.population.domains
    names = domains["domain"].to_numpy()
    weight = domains["messages"].to_numpy(dtype=np.float64)
    entry = scenario.policy.match(names.tolist())
    tls = [scenario.policy.resolved(i).tls for i in range(-1, len(scenario.policy.entries))]
    ruled = np.array([scenario.own_setting(Setting.NO if setting is None else setting) for setting in tls])[entry + 1][
        domain
    ]
    frame = pd.DataFrame(chance.reshape(-1, len(columns)), columns=list(columns))
    frame.insert(0, "domain", np.tile(names[domain], len(settings)))
    frame.insert(1, "setting", np.repeat([s.label for s in settings], len(domain)))
    frame["mail_share"] = np.tile((weight / weight.sum())[domain], len(settings))
    frame["in_force"] = np.concatenate([ruled == s for s in settings])
    return frame
