"""One question to the simulator: the sender's policy, who receives, what is sent, and for how long."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from sim.errors import ScenarioError, complaint
from sim.policy.decide import Tables
from sim.policy.destinations import DestinationControls
from sim.policy.profile import Profile, Value
from sim.policy.profiles import SENDERS, profile
from sim.policy.profiles.esa import Switches
from sim.terms import Setting, Term, TlsVersion
from sim.timeline import Event, in_order
from sim.world.population import Population
from sim.world.shapes import Shape
from sim.world.workload import Workload

__all__ = ["SENDERS", "DeliverySwitches", "Scenario"]

#: No release of the gateway is named for the change; esa.md: 1.0 before 2020, 1.2 after (unconfirmed).
MINIMUM_TLS_SINCE_2020 = TlsVersion.TLS_1_2
MINIMUM_TLS_BEFORE_2020 = TlsVersion.TLS_1_0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverySwitches:
    """What the delivery model assumes where no source settles it.

    Attributes
    ----------
    new_mail_probes : whether new mail to a destination that is down opens a connection at once.
    success_releases : ``down`` lets an accepted message release the mail that waited for the destination;
        ``all`` also releases mail on its own retry timers (tech note 118287 can be read so).
    expire : ``when_due`` lets lapsed mail bounce when its next try falls due; ``at_lifetime`` at once.
    messages_per_opening : how eagerly connections open: one for so many messages that wait.
    idle_timeout_s : how long an open connection without mail is kept (assumed).
    dns_s, dns_timeout_s : how long a look-up takes, and until a temporary failure is known (assumed).
    handshake_timeout_s : how long the sender waits for a handshake that hangs (assumed; the default is Postfix's
        ``smtp_starttls_timeout``).
    max_connections : system-wide ceiling of outbound connections (AsyncOS user guide 10.0: 10,000); mail waits for a
        place below it.
    """

    new_mail_probes: bool = False
    success_releases: str = "down"
    expire: str = "when_due"
    messages_per_opening: int = 1
    idle_timeout_s: float = 5.0
    dns_s: float = 0.02
    dns_timeout_s: float = 30.0
    handshake_timeout_s: float = 300.0
    max_connections: int = 10_000

    def __post_init__(self) -> None:
        for name, allowed in (("success_releases", ("down", "all")), ("expire", ("when_due", "at_lifetime"))):
            if getattr(self, name) not in allowed:
                raise ScenarioError(complaint(name, getattr(self, name), allowed))
        for name in ("messages_per_opening", "max_connections"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise ScenarioError(complaint(name, getattr(self, name), "1 or more"))
        for name in ("idle_timeout_s", "dns_s", "dns_timeout_s", "handshake_timeout_s"):
            if not 0 <= getattr(self, name) <= 86_400:
                raise ScenarioError(complaint(name, getattr(self, name), "0..86400 s"))


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Policy, population and mail of one run.

    Attributes
    ----------
    policy : Destination Controls of the gateway; the shipped DEFAULT alone when none is given. Another sender takes
        its own setting nearest to each TLS setting there, and nothing else.
    population : who receives.
    workload : what is sent; by default the population's own message counts a day.
    sender : whose decision tables, queue and retries apply (`SENDERS`).
    days : the arrival window; the run then drains until every message has its fate.
    until_s : ends the run early (mail still queued is then a fate of its own); None = drain.
    switches : readings of the gateway's documents where they do not settle a cell.
    sender_switches : the same, and options, of another sender, by name.
    sender_setting : one of another sender's own settings, by key or label, for every destination and throughout; None =
        the nearest to each setting of the policy.
    delivery : assumptions of the delivery model.
    minimum_tls : lowest TLS version the sender accepts; None = as it is shipped, or 1.0 before 2020 and 1.2 after.
    timeline : what changes while the run goes on, given in any order; kept by the hour it begins.
    acceptance : factor on each MX host's acceptance time; None = log-normal with the host's own sigma.
    """

    population: Population
    policy: DestinationControls = field(default_factory=DestinationControls.shipped)
    workload: Workload = field(default_factory=Workload)
    sender: str = "esa"
    days: float = 1.0
    until_s: float | None = None
    switches: Switches = field(default_factory=Switches)
    sender_switches: Mapping[str, Value] = field(default_factory=dict, hash=False)
    sender_setting: str | None = None
    delivery: DeliverySwitches = field(default_factory=DeliverySwitches)
    minimum_tls: TlsVersion | None = None
    timeline: tuple[Event, ...] = ()
    acceptance: Shape | None = None

    def __post_init__(self) -> None:
        self._check_sender()
        if not all(isinstance(event, Event) for event in self.timeline):
            raise ScenarioError(complaint("timeline", self.timeline, "a sequence of sim.Event"))
        object.__setattr__(self, "timeline", in_order(self.timeline))
        if not 0 < self.days <= 366:
            raise ScenarioError(complaint("days", self.days, "more than 0, up to 366"))
        rate_known = self.population.messages_are_counts or self.workload.messages_per_day is not None
        if not rate_known and self.workload.trace is None:
            raise ScenarioError(
                f"workload.messages_per_day is not given, and population {self.population.name!r} knows only shares of "
                "mail, no counts; allowed: a number of messages a day"
            )
        if self.until_s is not None and not 0 < self.until_s <= 400 * 86_400:
            raise ScenarioError(complaint("until_s", self.until_s, "more than 0 s, up to 400 days"))

    def _check_sender(self) -> None:
        if self.sender not in SENDERS:
            raise ScenarioError(complaint("sender", self.sender, SENDERS))
        object.__setattr__(self, "sender_switches", dict(self.sender_switches))
        if not self.is_gateway:
            self.profile.resolved(self.sender_switches)
            if self.switches != Switches():
                allowed = f"none: the gateway's; those of {self.profile.title} are sender_switches"
                raise ScenarioError(complaint("switches", "given", allowed))
        elif self.sender_switches:
            given = ", ".join(map(str, self.sender_switches))
            raise ScenarioError(
                complaint("sender_switches", given, f"none: those of {self.profile.title} are switches")
            )
        if self.sender_setting is not None:
            if self.is_gateway:
                allowed = f"none: the settings of {self.profile.title} are those of the policy"
                raise ScenarioError(complaint("sender_setting", self.sender_setting, allowed))
            object.__setattr__(self, "sender_setting", self._named(self.sender_setting).key)

    def _named(self, word: object) -> Term:
        """Return one of the sender's settings by key or label, in any case."""
        for setting in self.profile.settings:
            if str(word).strip().lower() in (setting.key, setting.label.lower()):
                return setting
        allowed = [setting.label for setting in self.profile.settings]
        raise ScenarioError(complaint(f"sender_setting ({self.profile.title})", str(word), allowed))

    def sent_by(self, sender: str | None) -> Self:
        """Return the same scenario with another sender, as it is shipped; itself for its own sender or None."""
        if sender in (None, self.sender):
            return self
        return replace(self, sender=str(sender), switches=Switches(), sender_switches={}, sender_setting=None)

    @property
    def is_gateway(self) -> bool:
        """Whether the sender is the gateway itself, whose limits, options and retries are those of the policy."""
        return self.profile.queueing is None

    @property
    def profile(self) -> Profile:
        """What is known of the sender."""
        return profile(self.sender)

    @property
    def tables(self) -> Tables:
        """The sender's decision tables under its switches; the same switches give the same object."""
        return self.profile.tables(self.switches.values() if self.is_gateway else self.sender_switches)

    def own_setting(self, setting: Setting) -> Term:
        """Return the sender's own setting for destinations that have this one in the policy."""
        return self.profile.nearest[setting] if self.sender_setting is None else self._named(self.sender_setting)

    @property
    def lowest_tls(self) -> TlsVersion:
        """Return the lowest TLS version the sender accepts."""
        if self.minimum_tls is not None:
            return self.minimum_tls
        if self.profile.minimum_tls is not None:
            return self.profile.minimum_tls
        return MINIMUM_TLS_SINCE_2020 if self.population.year >= 2020 else MINIMUM_TLS_BEFORE_2020

    def with_setting(self, setting: Term) -> Self:
        """Return the same scenario with one TLS setting for every destination, throughout: its policy never changes.

        Parameters
        ----------
        setting : one of the policy, for which another sender takes its nearest, or one of the sender's own.

        Raises
        ------
        ScenarioError
            When it is another sender's.
        """
        timeline = tuple(event for event in self.timeline if event.event != "policy")
        if isinstance(setting, self.profile.settings) and not self.is_gateway:
            return replace(self, sender_setting=setting.key, timeline=timeline)
        if not isinstance(setting, Setting):
            allowed = [s.label for s in self.profile.settings]
            raise ScenarioError(complaint(f"setting of {self.profile.title}", str(setting), allowed))
        return replace(self, policy=self.policy.with_setting(setting), sender_setting=None, timeline=timeline)
