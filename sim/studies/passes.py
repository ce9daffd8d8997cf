"""What a sender makes of what connections show: of one, and of a whole pass over the MX hosts of a domain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sim.delivery.analytic import ENDS
from sim.errors import ScenarioError, complaint
from sim.policy.decide import NOT_USED, REPLACES_CHAIN, Tables
from sim.policy.profile import Profile, Value
from sim.policy.profiles import profile
from sim.policy.spellings import sender_setting
from sim.scenario import MINIMUM_TLS_SINCE_2020
from sim.studies.evidence import Evidence
from sim.terms import Chain, DaneOption, Demand, NameRule, Outcome, Reason, Seen, Stage, Term, TlsVersion

_IN_CLEAR, _ENCRYPTED, _VERIFIED, _BOUNCED, _DEFERRED = ENDS
_ENDED_BY: Final[Mapping[Outcome, str]] = {
    Outcome.DELIVER_CLEAR: _IN_CLEAR,
    Outcome.DELIVER_ENCRYPTED: _ENCRYPTED,
    Outcome.DELIVER_VERIFIED: _VERIFIED,
    Outcome.RETRY: _DEFERRED,
    Outcome.BOUNCE_ALL: _BOUNCED,
    Outcome.BOUNCE_NOW: _BOUNCED,
}
_MOST_HOSTS = 1_000


@dataclass(frozen=True, slots=True)
class Step:
    """What one connection comes to.

    Attributes
    ----------
    host : which MX host of the pass, from 0.
    demand, rule : what the setting asks of it.
    holds : whether the name rule holds for the certificate it showed.
    seen : the class of what it showed.
    asked : whether the sender asked for it: one that never tries TLS, or may not use the host, does not.
    outcome, reason : what follows, and why.
    aged : whether the message counts as aged.
    """

    host: int
    demand: Demand
    rule: NameRule
    holds: bool
    seen: Seen
    asked: bool
    outcome: Outcome
    reason: Reason
    aged: bool


@dataclass(frozen=True, slots=True)
class PassEnd:
    """What becomes of a message in one pass over the MX hosts.

    Attributes
    ----------
    outcome : ``in_clear``, ``encrypted``, ``verified``, ``bounced`` or ``deferred``, as in `sim.expected`.
    host : the MX host that took the message, or with which it bounced or the pass ended, from 0.
    reason : why the last connection failed; none where the message is delivered.
    steps : the connections in turn; a host that is tried again in clear has two.
    """

    outcome: str
    host: int
    reason: Reason
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """A sender as it is asked: its tables and its options.

    Attributes
    ----------
    sender : its profile.
    tables : with switches applied.
    minimum_tls : the lowest TLS version it accepts.
    dane_option : how it uses DANE.
    """

    sender: Profile
    tables: Tables
    minimum_tls: TlsVersion
    dane_option: DaneOption

    @classmethod
    def of(
        cls,
        sender: str | Profile,
        switches: Mapping[str, Value] | None = None,
        minimum_tls: TlsVersion | None = None,
        dane_option: DaneOption | None = None,
    ) -> Asked:
        """Return a sender with options; what is None is as shipped, or TLS 1.2."""
        known = profile(sender) if isinstance(sender, str) else sender
        lowest = known.minimum_tls if minimum_tls is None else minimum_tls
        return cls(
            known,
            known.tables(switches),
            MINIMUM_TLS_SINCE_2020 if lowest is None else lowest,
            known.dane_option if dane_option is None else dane_option,
        )

    def is_aged(self, age_s: float, attempt: int) -> bool:
        """Tell whether a message counts as aged; its tries before are taken to have failed by TLS."""
        old = self.sender.aged_after_s is not None and age_s >= self.sender.aged_after_s
        return old or (self.sender.aged_after_tls_failure and attempt > 1)

    def step(self, setting: Term, shown: Evidence, *, host: int = 0, aged: bool | None = None) -> Step:
        """Return what one connection comes to; ``aged`` is by the evidence where it is None."""
        tables = self.tables
        demand, rule = tables.asks(setting, self.dane_option, shown.dane, shown.mta_sts, int(shown.mx_listed))
        holds = shown.stage == Stage.TLS and shown.holds(rule)
        chain = Chain.TRUSTED if rule in REPLACES_CHAIN else shown.chain
        enough = int(shown.tls_version >= self.minimum_tls)
        seen = Seen(int(tables.seen[shown.stage, enough, chain, int(holds)]))
        age = self.is_aged(shown.age_s, shown.attempt) if aged is None else aged
        return self._step(host, demand, rule, holds, seen, age)

    def again_in_clear(self, before: Step) -> Step:
        """Return what the same host comes to on a new connection without STARTTLS."""
        again = self._step(before.host, Demand.CLEAR, NameRule.NONE, False, before.seen, before.aged)
        if Demand.CLEAR in self.tables.demands:
            return again
        # No setting of this sender demands clear text from the start, so its tables have no such column.
        return Step(*(before.host, Demand.CLEAR, NameRule.NONE), False, before.seen, False, Outcome.DELIVER_CLEAR,
                    Reason.NONE, before.aged)  # fmt: skip

    def _step(self, host: int, demand: Demand, rule: NameRule, holds: bool, seen: Seen, aged: bool) -> Step:
        outcome = Outcome(int(self.tables.outcome[demand, seen, int(aged)]))
        reason = Reason.NONE if outcome <= Outcome.DELIVER_VERIFIED else Reason(int(self.tables.reason[demand, seen]))
        asked = seen < (Seen.UNREACHABLE if demand in NOT_USED else Seen.NOT_OFFERED) or (
            demand not in NOT_USED and demand != Demand.CLEAR
        )
        return Step(host, demand, rule, holds, seen, asked, outcome, reason, aged)


def explain_pass(
    sender: str | Profile,
    setting: Term | str,
    hosts: Evidence | str | Sequence[Evidence | str],
    *,
    age_s: float | None = None,
    attempt: int | None = None,
    switches: Mapping[str, Value] | None = None,
    dane_option: DaneOption | None = None,
    minimum_tls: TlsVersion | None = None,
) -> PassEnd:
    """Tell what becomes of a message in one pass over MX hosts that show what is given.

    Parameters
    ----------
    sender : its key, or its profile.
    setting : one of its settings, or what spells one (`sim.policy.spellings.sender_setting`).
    hosts : what each MX host shows, in the order they are tried.
    age_s, attempt : of the message; None takes the largest that the evidence says.
    switches : of the sender; those not given are at their defaults.
    dane_option : how it is told to use DANE; None = as shipped.
    minimum_tls : lowest TLS version it accepts; None = as shipped, else 1.2.

    Returns
    -------
    PassEnd
        As the model of delivery has it: *next host* and *bounce message* go on to the next host, and the last host
        decides between a deferral and a bounce; *bounce now*, *bounce all* and *retry later* end the pass where they
        fall; *reconnect in clear* is the same host again without STARTTLS.

    Raises
    ------
    PolicyError, ScenarioError
        For a sender, setting, switch or evidence that is none.

    Examples
    --------
    An old message to Postfix *may*: the first host's broken handshake sends it in clear, whatever the second offers.

    >>> hosts = ["stage=handshake-failed", "stage=tls"]
    >>> explain_pass("postfix", "may", hosts, age_s=400).outcome, explain_pass("postfix", "may", hosts).outcome
    ('in_clear', 'encrypted')
    """
    given = [hosts] if isinstance(hosts, Evidence | str) else list(hosts)
    shown = [Evidence.parse(host) if isinstance(host, str) else host for host in given]
    if not 1 <= len(shown) <= _MOST_HOSTS:
        raise ScenarioError(complaint("hosts", len(shown), f"evidence of 1..{_MOST_HOSTS:,} MX hosts"))
    asked = Asked.of(sender, switches, minimum_tls, dane_option)
    age = max(host.age_s for host in shown) if age_s is None else age_s
    tries = max(host.attempt for host in shown) if attempt is None else attempt
    return walk(asked, sender_setting("setting", setting, asked.sender), shown, aged=asked.is_aged(age, tries))


def walk(asked: Asked, setting: Term, shown: Sequence[Evidence], *, aged: bool) -> PassEnd:
    """Return what becomes of a message in a pass (`explain_pass`)."""
    steps: list[Step] = []
    for number, evidence in enumerate(shown):
        step = asked.step(setting, evidence, host=number, aged=aged)
        steps.append(step)
        if step.outcome == Outcome.RECONNECT_CLEAR:
            step = asked.again_in_clear(step)
            steps.append(step)
        if step.outcome in _ENDED_BY:
            return PassEnd(_ENDED_BY[step.outcome], number, step.reason, tuple(steps))
    last = steps[-1]
    ended = _BOUNCED if last.outcome == Outcome.BOUNCE_MESSAGE else _DEFERRED
    return PassEnd(ended, last.host, last.reason, tuple(steps))
