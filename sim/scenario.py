"""One question to the simulator: the sender's policy, who receives, what is sent, and for how long."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Self

from sim.errors import ScenarioError, complaint
from sim.policy.destinations import DestinationControls
from sim.policy.profiles.esa import Switches
from sim.terms import Setting, TlsVersion
from sim.timeline import Event, in_order
from sim.world.population import Population
from sim.world.shapes import Shape
from sim.world.workload import Workload

SENDERS = ("esa",)
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
    max_connections : system-wide ceiling of outbound connections (AsyncOS user guide 10.0: 10,000).
    """

    new_mail_probes: bool = False
    success_releases: str = "down"
    expire: str = "when_due"
    messages_per_opening: int = 1
    idle_timeout_s: float = 5.0
    dns_s: float = 0.02
    dns_timeout_s: float = 30.0
    max_connections: int = 10_000

    def __post_init__(self) -> None:
        for name, allowed in (("success_releases", ("down", "all")), ("expire", ("when_due", "at_lifetime"))):
            if getattr(self, name) not in allowed:
                raise ScenarioError(complaint(name, getattr(self, name), allowed))
        for name in ("messages_per_opening", "max_connections"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise ScenarioError(complaint(name, getattr(self, name), "1 or more"))
        for name in ("idle_timeout_s", "dns_s", "dns_timeout_s"):
            if not 0 <= getattr(self, name) <= 86_400:
                raise ScenarioError(complaint(name, getattr(self, name), "0..86400 s"))


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Policy, population and mail of one run.

    Attributes
    ----------
    policy : Destination Controls of the gateway; the shipped DEFAULT alone when none is given.
    population : who receives.
    workload : what is sent; by default the population's own message counts a day.
    sender : whose decision tables apply; ``esa`` is the one there is.
    days : the arrival window; the run then drains until every message has its fate.
    until_s : ends the run early (mail still queued is then a fate of its own); None = drain.
    switches : readings of the sender's documents where they do not settle a cell.
    delivery : assumptions of the delivery model.
    minimum_tls : lowest TLS version the sender accepts; None = 1.0 before 2020, 1.2 after.
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
    delivery: DeliverySwitches = field(default_factory=DeliverySwitches)
    minimum_tls: TlsVersion | None = None
    timeline: tuple[Event, ...] = ()
    acceptance: Shape | None = None

    def __post_init__(self) -> None:
        if self.sender not in SENDERS:
            raise ScenarioError(complaint("sender", self.sender, SENDERS))
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

    @property
    def lowest_tls(self) -> TlsVersion:
        """Return the lowest TLS version the sender accepts."""
        if self.minimum_tls is not None:
            return self.minimum_tls
        return MINIMUM_TLS_SINCE_2020 if self.population.year >= 2020 else MINIMUM_TLS_BEFORE_2020

    def with_setting(self, setting: Setting) -> Self:
        """Return the same scenario with one TLS setting for every destination, throughout: its policy never changes."""
        timeline = tuple(event for event in self.timeline if event.event != "policy")
        return replace(self, policy=self.policy.with_setting(setting), timeline=timeline)
