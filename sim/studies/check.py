"""What an experienced postmaster would say about a Destination Controls table, before any mail is sent."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

from sim.policy.destinations import DestinationControls
from sim.scenario import Scenario
from sim.studies.check_mail import mail_findings
from sim.studies.check_table import DROPPED, table_findings
from sim.studies.finding import SEVERITIES, Finding
from sim.world.population import Population
from sim.world.workload import Workload

if TYPE_CHECKING:
    from pandas import DataFrame

NO_POPULATION = "which mail the entries meet, and what its servers can do: that needs a population"
NO_MAIL = "limits against the load: that needs an amount of mail"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What was found, gravest first, and what could not be asked.

    Attributes
    ----------
    findings : by severity, lines that were dropped first, then by line.
    not_checked : questions left out for want of a population or an amount of mail.
    """

    findings: tuple[Finding, ...]
    not_checked: tuple[str, ...] = ()

    def frame(self) -> DataFrame:
        """Return one row a finding: severity, line, entry, finding, what, why, todo."""
        import pandas as pd

        columns = [f.name for f in fields(Finding)]
        return pd.DataFrame([asdict(finding) for finding in self.findings], columns=columns)

    def count(self, severity: str) -> int:
        """Return how many findings have this severity."""
        return sum(finding.severity == severity for finding in self.findings)


def check(
    policy: DestinationControls,
    *,
    population: Population | None = None,
    workload: Workload | None = None,
) -> CheckResult:
    r"""Look for what a table does not mean to say.

    Parameters
    ----------
    policy : the table; one that was read from a file (`sim.Policy`) is also asked about the lines nobody used.
    population : who receives. Without it only what the table alone tells is found.
    workload : how much mail, for limits against the load; may be left out where the population's messages are counts.

    Raises
    ------
    PolicyError, ScenarioError
        When table and population do not fit together.

    Examples
    --------
    >>> import sim
    >>> table = sim.Policy.parse("[DEFAULT]\ntable_tls = off\n")
    >>> [f.finding for f in check(table).findings if f.severity == "warning"]
    ['default-sends-in-clear']
    """
    found = table_findings(policy)
    not_checked: list[str] = []
    if population is None:
        not_checked.append(NO_POPULATION)
    else:
        counted = population.messages_are_counts or (workload is not None and workload.messages_per_day is not None)
        mail = workload or (Workload() if counted else Workload(messages_per_day=1.0))
        scenario = Scenario(policy=policy, population=population, workload=mail)
        found += mail_findings(scenario, counted=counted)
        not_checked += [] if counted else [NO_MAIL]
    found.sort(key=lambda f: (SEVERITIES.index(f.severity), f.finding != DROPPED, f.line, f.finding, f.entry))
    return CheckResult(tuple(found), tuple(not_checked))
