"""Why the gateway does what it does: a decision with its rule and source, and what happens next and when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

from sim.delivery.analytic import host_evidence
from sim.errors import ScenarioError, complaint, did_you_mean
from sim.policy.destinations import Entry, canonical_domain
from sim.policy.identity import rule_holds
from sim.policy.profiles import esa
from sim.policy.profiles.esa import Switches
from sim.policy.retry import BounceProfile, HostRetry
from sim.scenario import MINIMUM_TLS_SINCE_2020, Scenario
from sim.terms import Chain, Demand, NameRule, Outcome, Reason, Seen, Setting, Stage, Term, TlsVersion

if TYPE_CHECKING:
    from pandas import DataFrame

#: Names of a certificate that a rule may look at, as evidence spells them.
NAMES: Final = ("san-domain", "cn-domain", "san-mx", "cn-mx", "san-ptr", "cn-ptr")
_NO_NAME: Final = "none"
_TERMS: Final[Mapping[str, type[Term]]] = {"stage": Stage, "tls_version": TlsVersion, "chain": Chain}
#: A value of each part of evidence, as a fault shows it.
_EXAMPLES: Final = {"stage": "tls", "tls_version": "TLSv1.2", "chain": "expired", "names": "san-mx"}
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What one connection to one MX host shows.

    Attributes
    ----------
    stage : how far it got.
    tls_version : of the peer, where TLS came up.
    chain : state of the certificate chain, likewise.
    names : which names of the certificate match: members of `NAMES`.

    Examples
    --------
    >>> Evidence.parse("stage=tls chain=expired names=san-mx,cn-mx").chain.label
    'expired'
    """

    stage: Stage = Stage.TLS
    tls_version: TlsVersion = TlsVersion.TLS_1_3
    chain: Chain = Chain.TRUSTED
    names: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, text: str) -> Evidence:
        """Read evidence as people type it: ``stage=tls tls_version=TLSv1.2 chain=expired names=san-domain,cn-ptr``.

        What is not said is a TLS 1.3 connection with a trusted chain and no matching name.

        Raises
        ------
        ScenarioError
            Naming the part that cannot be read, what is allowed and the nearest guess.
        """
        known = [f.name for f in fields(cls)]  # those of _EXAMPLES
        given: dict[str, Any] = {}
        for part in text.replace(";", " ").split():
            name, equals, value = part.partition("=")
            if not equals or name not in known:
                raise ScenarioError(_unread(part, name, value))
            if name in given:
                raise ScenarioError(complaint("evidence", part, f"{name} once"))
            given[name] = _names(value) if name == "names" else _term(name, value)
        return cls(**given)

    def text(self) -> str:
        """Spell it as `parse` reads it, without what does not matter at its stage."""
        parts = [f"stage={self.stage.label}"]
        if self.stage >= Stage.LOST_IN_TLS:
            parts.append(f"tls_version={self.tls_version.label}")
        if self.stage == Stage.TLS:
            parts += [f"chain={self.chain.label}", f"names={','.join(sorted(self.names)) or _NO_NAME}"]
        return " ".join(parts)

    def holds(self, rule: NameRule) -> bool:
        """Tell whether a name rule holds for the certificate shown."""
        flags = {name.replace("-", "_"): name in self.names for name in NAMES}
        return bool(rule_holds(rule, san_present=any(n.startswith("san") for n in self.names), **flags))


def _unread(part: str, name: str, value: str) -> str:
    """Compose the complaint about a part that is none: a value that stands alone is told the name it belongs to."""
    allowed = f"parts such as {', '.join(f'{key}={example}' for key, example in _EXAMPLES.items())}"
    owned = {label.lower(): key for key, terms in _TERMS.items() for label in [member.label for member in terms]}
    owned |= dict.fromkeys(NAMES, "names")
    guess = did_you_mean(name, _EXAMPLES) if value else ""
    if part.lower() in owned:
        guess = f" Did you mean '{owned[part.lower()]}={part}'?"
    return f"{complaint('evidence', part, allowed)}{'.' if guess else ''}{guess}"


def _term(name: str, value: str) -> Term:
    terms = _TERMS[name]
    for member in terms:
        if value.lower() in (member.label.lower(), member.key):
            return member
    raise ScenarioError(complaint(f"evidence {name}", value, [member.label for member in terms]))


def _names(value: str) -> frozenset[str]:
    found = frozenset(part.strip().lower().replace("_", "-") for part in value.split(",")) - {_NO_NAME, ""}
    for name in sorted(found - set(NAMES)):
        raise ScenarioError(complaint("evidence names", name, [*NAMES, _NO_NAME]))
    return found


def explain_evidence(
    evidence: Evidence,
    settings: Sequence[Setting] = tuple(Setting),
    *,
    switches: Switches | None = None,
    minimum_tls: TlsVersion = MINIMUM_TLS_SINCE_2020,
) -> DataFrame:
    """Tell what each TLS setting makes of what one connection shows.

    Parameters
    ----------
    evidence : what it shows.
    settings : which.
    switches : readings of cells that no source settles.
    minimum_tls : lowest version the sender accepts.

    Returns
    -------
    DataFrame
        One row a setting: setting, demand, name_rule, name_rule_holds (of the certificate, where one was shown), seen,
        outcome, reason, next, settled (False where no source settles the cell), switches (that change it), source.
    """
    import pandas as pd

    tables = esa.tables(switches)
    open_cells = {(seen, demand): names for seen, demand, names in esa.unsettled()}
    version_ok = int(evidence.tls_version >= minimum_tls)
    rows = []
    for setting in settings:
        demand, rule = tables.plain(setting)
        holds = evidence.stage == Stage.TLS and evidence.holds(rule)
        seen = Seen(int(tables.seen[evidence.stage, version_ok, evidence.chain, int(holds)]))
        outcome = Outcome(int(tables.outcome[demand, seen, 0]))
        marks = open_cells.get((seen, demand))
        rows.append(
            {
                "setting": setting.label,
                "demand": demand.label,
                "name_rule": rule.label,
                "name_rule_holds": holds,
                "seen": "(not asked)" if demand == Demand.CLEAR and seen >= Seen.NOT_OFFERED else seen.label,
                "outcome": outcome.label,
                "reason": Reason(int(tables.reason[demand, seen])).label,
                "next": NEXT[outcome],
                "settled": marks is None,
                "switches": " ".join(marks or ()),
                "source": esa.SOURCE,
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


def explain_hosts(scenario: Scenario, domain: str, setting: Setting) -> DataFrame:
    """Tell what the destination's MX hosts may show, how likely, and what the setting makes of it.

    Returns
    -------
    DataFrame
        One row a (MX host, class of evidence) that may happen, in the order the hosts are tried, the likeliest first:
        mx_host, preference, provider, seen, probability (of a connection made while the host is up), outcome, reason,
        next. Empty where the domain is none of the population's.
    """
    import pandas as pd

    population = scenario.population
    columns = ["mx_host", "preference", "provider", "seen", "probability", "outcome", "reason", "next"]
    names = population.domains["domain"].str.lower()
    found = names.index[names == (canonical_domain(domain) or domain)]
    if not len(found):
        return pd.DataFrame([], columns=columns)
    tables = esa.tables(scenario.switches)
    demand, rule = tables.plain(setting)
    seen = host_evidence(scenario, rule)
    routes = population.routes
    rows: list[dict[str, Any]] = []
    for route in routes.index[routes["domain"] == found[0]]:
        host = population.hosts.iloc[routes["host"].iloc[route]]
        shown = sorted(((float(p), s) for s, p in zip(Seen, seen[route], strict=True) if p > 0), key=lambda x: -x[0])
        for probability, what in shown:
            outcome = Outcome(int(tables.outcome[demand, what, 0]))
            rows.append(
                {
                    "mx_host": host["host"],
                    "preference": int(routes["preference"].iloc[route]),
                    "provider": host["provider"],
                    "seen": what.label,
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


def conclusion(scenario: Scenario, domain: str, setting: Setting) -> str | None:
    """Say in one sentence what becomes of the mail of a destination under a setting; None where it is not known.

    The shares are those of `sim.expected`: a message alone in its queue, with all its retries.
    """
    from sim.delivery.expected import expected
    from sim.results.findings import percent

    wanted = canonical_domain(domain) or domain
    shares = []
    for per in ("pass", "message"):
        frame = expected(scenario, (setting,), per=per)
        row = frame[frame["domain"].str.lower() == wanted]
        if row.empty:
            return None
        shares.append(row.iloc[0])
    passes, message = shares
    ruled = ruling(scenario, domain)
    if not passes[[*_ENDS]].sum():
        if passes["bounced"] > 1 - 1e-9:
            return "So this mail bounces at its first attempt."
        latest = "" if not passes["bounced"] else " at the latest"
        ends_s = float(retry_table(ruled.profile, scenario.policy.host_retry)["after_s"].iloc[-1])
        return f"No pass gets through: this mail bounces{latest} after {clock(ends_s)}."
    words = {**_ENDS, "bounced": "bounces"}
    told = [f"{percent(message[end])} % {word}" for end, word in words.items() if message[end] > 0]
    return f"So of this mail, with all its retries, {' and '.join(told)}."


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
