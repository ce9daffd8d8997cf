"""Why a sender does what it does: a decision with its rule and source, and what happens next and when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sim.delivery.analytic import host_evidence
from sim.errors import ScenarioError, complaint, did_you_mean
from sim.policy.decide import NOT_USED
from sim.policy.destinations import Entry, canonical_domain
from sim.policy.profile import Queueing, Value
from sim.policy.profiles.esa import Switches
from sim.policy.retry import BounceProfile, HostRetry
from sim.policy.sheets import open_marks
from sim.scenario import Scenario
from sim.studies.evidence import NAMES, Evidence
from sim.studies.passes import Asked, PassEnd, Step, explain_pass
from sim.terms import DaneOption, Demand, Outcome, Reason, Seen, Term, TlsVersion

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = [
    "NAMES",
    "NEXT",
    "Evidence",
    "PassEnd",
    "Ruling",
    "Step",
    "clock",
    "conclusion",
    "explain_evidence",
    "explain_hosts",
    "explain_pass",
    "nearest_domain",
    "queue_times",
    "retries_of",
    "retry_table",
    "ruling",
]

#: What follows each outcome, for one message, on this connection to this host.
NEXT: Final[Mapping[Outcome, str]] = {
    Outcome.DELIVER_CLEAR: "the message goes on this connection, in clear",
    Outcome.DELIVER_ENCRYPTED: "the message goes on this connection, encrypted; nobody has checked who reads it",
    Outcome.DELIVER_VERIFIED: "the message goes on this connection, encrypted, to a peer that was verified",
    Outcome.RECONNECT_CLEAR: "the same host again at once, on a new connection without STARTTLS",
    Outcome.NEXT_HOST: "the next MX host at once; when all have failed, the destination waits for its retry timer",
    Outcome.RETRY: "no further host is tried; the destination waits for its retry timer",
    Outcome.BOUNCE_MESSAGE: "the next MX host at once; when this is the last, the message bounces",
    Outcome.BOUNCE_ALL: "all waiting mail of the destination bounces",
    Outcome.BOUNCE_NOW: "the message bounces at once; no other MX host is tried",
}

#: Ends of delivered mail, as `sim.expected` names them and a conclusion says them.
_ENDS: Final = {
    "verified": "is delivered encrypted to a verified peer",
    "encrypted": "is delivered encrypted, not verified",
    "in_clear": "is delivered in clear",
}
_NOT_ASKED: Final = "(not asked)"


def explain_evidence(
    evidence: Evidence,
    settings: Sequence[Term] | None = None,
    *,
    sender: str = "esa",
    switches: Switches | Mapping[str, Value] | None = None,
    minimum_tls: TlsVersion | None = None,
    dane_option: DaneOption | None = None,
) -> DataFrame:
    """Tell what each TLS setting of a sender makes of what one connection shows.

    Parameters
    ----------
    evidence : what it shows.
    settings : which of the sender's; None = all.
    sender : its key.
    switches : its switches, by name; those not given are at their defaults.
    minimum_tls : lowest version it accepts; None = as shipped, else 1.2.
    dane_option : how it is told to use DANE; None = as shipped.

    Returns
    -------
    DataFrame
        One row a setting: sender, setting, demand, name_rule, name_rule_holds (of the certificate, where one was
        shown), seen, outcome, reason, next, settled (False where no source settles the cell), switches (that change
        it), aged (whether the message counts as aged), source.
    """
    import pandas as pd

    given = switches.values() if isinstance(switches, Switches) else switches
    asked = Asked.of(sender, given, minimum_tls, dane_option)
    rows = []
    for setting in asked.sender.settings if settings is None else settings:
        step = asked.step(setting, evidence)
        marks = open_marks(asked.sender, asked.tables, step.seen, step.demand, aged=step.aged)
        rows.append(
            {
                "sender": asked.sender.title,
                "setting": setting.label,
                "demand": step.demand.label,
                "name_rule": step.rule.label,
                "name_rule_holds": step.holds,
                "seen": step.seen.label if step.asked else _NOT_ASKED,
                "outcome": step.outcome.label,
                "reason": step.reason.label,
                "next": NEXT[step.outcome],
                "settled": marks is None,
                "switches": " ".join(marks or ()),
                "aged": step.aged,
                "source": asked.sender.source,
            }
        )
    return pd.DataFrame(rows)


@dataclass(frozen=True, slots=True)
class Ruling:
    """What a policy says of a destination.

    Attributes
    ----------
    domain : as it was asked for.
    entry : what rules it, nothing left to inherit.
    written : the entry as it stands in the table; None = DEFAULT.
    profile : its retry schedule.
    """

    domain: str
    entry: Entry
    written: Entry | None
    profile: BounceProfile

    @property
    def tls_inherited(self) -> bool:
        """Whether the TLS setting is DEFAULT's."""
        return self.written is None or self.written.tls is None


def ruling(scenario: Scenario, domain: str) -> Ruling:
    """Return what the scenario's policy says of a destination.

    Raises
    ------
    ScenarioError
        When this is no name of a destination.
    """
    if canonical_domain(domain) is None:
        raise ScenarioError(complaint("domain", domain, "example.com, or [192.0.2.7]"))
    policy = scenario.policy
    place = int(policy.match([domain])[0])
    entry = policy.resolved(place)
    written = None if place < 0 else policy.entries[place]
    return Ruling(domain, entry, written, policy.profile(entry.bounce_profile or "Default"))


def explain_hosts(scenario: Scenario, domain: str, setting: Term, *, sender: str | None = None) -> DataFrame:
    """Tell what the destination's MX hosts may show, how likely, and what the setting makes of it.

    Parameters
    ----------
    scenario, domain : whose population, and which of its destinations.
    setting : of the sender.
    sender : key of another sender than the scenario's, as it is shipped.

    Returns
    -------
    DataFrame
        One row a (MX host, class of evidence) that may happen, in the order the hosts are tried, the likeliest first:
        mx_host, preference, provider, demand, seen, probability (of a connection made while the host is up), outcome,
        reason, next. Empty where the domain is none of the population's. Messages are young.
    """
    import pandas as pd

    population = scenario.population
    columns = ["mx_host", "preference", "provider", "demand", "seen", "probability", "outcome", "reason", "next"]
    names = population.domains["domain"].str.lower()
    found = names.index[names == (canonical_domain(domain) or domain)]
    if not len(found):
        return pd.DataFrame([], columns=columns)
    scenario = scenario.sent_by(sender)
    tables = scenario.tables
    seen, demands, _ = host_evidence(scenario, setting)
    routes = population.routes
    rows: list[dict[str, Any]] = []
    for route in routes.index[routes["domain"] == found[0]]:
        host, demand = population.hosts.iloc[routes["host"].iloc[route]], Demand(int(demands[route]))
        shown = sorted(((float(p), s) for s, p in zip(Seen, seen[route], strict=True) if p > 0), key=lambda x: -x[0])
        if demand in NOT_USED:
            shown = [(1.0, Seen.UNREACHABLE)]
        for probability, what in shown:
            outcome = Outcome(int(tables.outcome[demand, what, 0]))
            rows.append(
                {
                    "mx_host": host["host"],
                    "preference": int(routes["preference"].iloc[route]),
                    "provider": host["provider"],
                    "demand": demand.label,
                    "seen": _NOT_ASKED if demand in NOT_USED else what.label,
                    "probability": probability,
                    "outcome": outcome.label,
                    "reason": Reason(int(tables.reason[demand, what])).label,
                    "next": NEXT[outcome],
                }
            )
    return pd.DataFrame(rows, columns=columns)


def nearest_domain(scenario: Scenario, domain: str) -> str:
    """Return `` Did you mean 'x'?`` for the destination most like a name that is none; empty where none is like it."""
    return did_you_mean(domain, scenario.population.domains["domain"])


def conclusion(scenario: Scenario, domain: str, setting: Term, *, sender: str | None = None) -> str | None:
    """Say in one sentence what becomes of the mail of a destination under a setting; None where it is not known.

    The shares are those of `sim.expected`: a message alone in its queue, with all its retries.
    """
    from sim.delivery.expected import expected
    from sim.results.findings import percent

    wanted = canonical_domain(domain) or domain
    shares = []
    for per in ("pass", "message"):
        frame = expected(scenario, (setting,), per=per, sender=sender)
        row = frame[frame["domain"].str.lower() == wanted]
        if row.empty:
            return None
        shares.append(row.iloc[0])
    passes, message = shares
    if not message[[*_ENDS]].sum():
        if passes["bounced"] > 1 - 1e-9:
            return "So this mail bounces at its first attempt."
        latest = "" if not passes["bounced"] else " at the latest"
        ends_s = float(retries_of(scenario, domain, sender)["after_s"].iloc[-1])
        return f"No pass gets through: this mail bounces{latest} after {clock(ends_s)}."
    words = {**_ENDS, "bounced": "bounces"}
    told = [f"{percent(message[end])} % {word}" for end, word in words.items() if message[end] > 0]
    return f"So of this mail, with all its retries, {' and '.join(told)}."


def retries_of(scenario: Scenario, domain: str, sender: str | None = None) -> DataFrame:
    """Return the retry table of a destination's mail: by the sender's own queue, or the gateway's by the policy."""
    queueing = scenario.sent_by(sender).profile.queueing
    if queueing is not None:
        return queue_times(queueing)
    return retry_table(ruling(scenario, domain).profile, scenario.policy.host_retry)


def queue_times(queueing: Queueing) -> DataFrame:
    """Return when a message that never passes is tried, as `retry_table`, of a sender with a queue of its own.

    With the last try the message bounces.
    """
    import pandas as pd

    times = queueing.attempt_times_s()
    ended = "time in queue" if times[-1] >= queueing.lifetime_s else "retries used up"
    rows = [{"attempt": n, "after_s": at, "what": "attempt"} for n, at in enumerate(times, 1)]
    rows.append({"attempt": 0, "after_s": times[-1], "what": f"bounce: {ended}"})
    frame = pd.DataFrame(rows)
    frame.insert(2, "wait_s", frame["after_s"].diff().fillna(0.0))
    return frame


def clock(after_s: float) -> str:
    """Spell a time since the message came: ``72:03:00 h``.

    Examples
    --------
    >>> clock(259_380)
    '72:03:00 h'
    """
    hours, rest = divmod(round(after_s), 3_600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d} h"


def retry_table(profile: BounceProfile, host_retry: HostRetry, *, own: bool = False) -> DataFrame:
    """Return when a message that never passes is tried, and when it bounces.

    Parameters
    ----------
    profile : the message's bounce profile.
    host_retry : timer of a destination that cannot be reached: TLS that fails is one.
    own : whether it is the message's own timer that runs (4yz replies), in place of the destination's.

    Returns
    -------
    DataFrame
        Rows attempt (from 1; the last is the bounce, ``attempt`` 0), after_s since the message came, wait_s since the
        attempt before, what. Attempts are taken to fail at once.
    """
    import pandas as pd

    if own:
        times = list(profile.attempt_times_s())
        ended = "retries used up" if len(times) > profile.max_retries else "time in queue"
        waits = profile.waits_s()
        end = times[-1] if len(times) > profile.max_retries else times[-1] + waits[min(len(times), len(waits)) - 1]
    else:
        times, waits, ended = (
            list(host_retry.attempt_times_s(profile.max_queue_time_s)),
            host_retry.waits_s(),
            "time in queue",
        )
        end = times[-1] + waits[min(len(times), len(waits)) - 1]
    rows = [{"attempt": n, "after_s": at, "what": "attempt"} for n, at in enumerate(times, 1)]
    rows.append({"attempt": 0, "after_s": end, "what": f"bounce: {ended}"})
    frame = pd.DataFrame(rows)
    frame.insert(2, "wait_s", frame["after_s"].diff().fillna(0.0))
    return frame
