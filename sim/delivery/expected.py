"""expected(): what one pass, or a message, comes to for each destination under each TLS setting, without a clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sim.delivery.analytic import ENDS, pass_probabilities
from sim.delivery.retry_sums import message_probabilities
from sim.errors import ScenarioError, complaint
from sim.scenario import Scenario
from sim.terms import Setting

if TYPE_CHECKING:
    import pandas as pd


def expected(scenario: Scenario, settings: Sequence[Setting] = tuple(Setting), per: str = "pass") -> pd.DataFrame:
    """Return what one pass, or a message, comes to for each destination under each TLS setting, without a clock.

    Parameters
    ----------
    scenario : its policy rules only through the switches; every destination is asked under every setting.
    settings : which.
    per : ``pass``: one try over the MX hosts; ``message``: with all its retries (`sim.delivery.retry_sums` lists the
        assumptions).

    Returns
    -------
    DataFrame
        Rows domain x setting: ``domain``, ``setting``, ``in_clear``, ``encrypted``, ``verified``, ``bounced``,
        ``deferred`` (probabilities that sum to 1; of a message the first four do, and ``deferred`` stands beside them),
        ``mail_share``, and ``in_force`` where the policy has this setting.

    Raises
    ------
    ScenarioError
        When ``per`` is neither.
    """
    import pandas as pd

    rates = {"pass": pass_probabilities, "message": message_probabilities}
    if per not in rates:
        raise ScenarioError(complaint("per", per, rates))
    probability = rates[per](scenario, settings)
    domains = scenario.population.domains
    names = domains["domain"].to_numpy()
    weight = domains["messages"].to_numpy(dtype=np.float64)
    entry = scenario.policy.match(names.tolist())
    ruled = np.array([scenario.policy.resolved(i).tls for i in range(-1, len(scenario.policy.entries))])[entry + 1]
    frame = pd.DataFrame(probability.reshape(-1, len(ENDS)), columns=list(ENDS))
    frame.insert(0, "domain", np.tile(names, len(settings)))
    frame.insert(1, "setting", np.repeat([s.label for s in settings], len(names)))
    frame["mail_share"] = np.tile(weight / weight.sum(), len(settings))
    frame["in_force"] = np.concatenate([ruled == s for s in settings])
    return frame
