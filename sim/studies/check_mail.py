"""What a table meets in a population: entries without mail, TLS that peers cannot give, limits below the load."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.delivery.analytic import ENDS, pass_probabilities
from sim.policy.destinations import ENTRY_FIELDS, DestinationControls, Entry, canonical_domain
from sim.results.findings import percent
from sim.scenario import Scenario
from sim.studies.check_table import REQUIRES, suffixes_of
from sim.studies.finding import Finding, about, some
from sim.terms import Dns, LimitType, Setting
from sim.world.population import Population

Float = NDArray[np.float64]
Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]

#: A chance per pass below which a peer counts as never able to.
_NEVER = 0.01
#: From this share of a limit on, the busiest hour is close to it.
_CLOSE = 0.8
_ASKED = (Setting.NO, Setting.REQUIRED, Setting.REQUIRED_VERIFY, Setting.REQUIRED_VERIFY_HOSTED)


def mail_findings(scenario: Scenario, *, counted: bool) -> list[Finding]:
    """Return what the mail of a population tells.

    Parameters
    ----------
    scenario : table, population, workload.
    counted : whether the amount of mail is known; else limits are not compared with the load.
    """
    mail = _mail(scenario)
    found = [*_without_mail(mail), *_bare_names(mail), *_tls(mail, scenario)]
    return [*found, *_limits(mail, scenario)] if counted else found


@dataclass(frozen=True, slots=True, eq=False)
class _Mail:
    """Destinations and the entries that rule them: names (D,), share of mail (D,), entry of each (D,), -1 DEFAULT.

    ``drawn`` says whose servers these are where nobody looked them up; empty where nothing was drawn.
    """

    policy: DestinationControls
    names: list[str]
    share: Float
    entry_of: Int64
    drawn: str

    def entries(self) -> Iterator[tuple[Entry, Int64]]:
        """Yield each entry that meets mail, DEFAULT last, with the rows of its destinations, most mail first."""
        for i in [*range(len(self.policy.entries)), -1]:
            rows = np.flatnonzero((self.entry_of == i) & (self.share > 0))
            if rows.size:
                yield self.policy.resolved(i), rows

    def told(self, rows: Int64) -> str:
        """Name destinations with their number and their share of all mail."""
        names = some([self.names[i] for i in rows.tolist()])
        return f"{names} ({percent(float(self.share[rows].sum()))} % of the mail)"


def _mail(scenario: Scenario) -> _Mail:
    domains = scenario.population.domains
    names: list[str] = domains["domain"].tolist()
    if scenario.workload.trace is None:
        weight = domains["messages"].to_numpy(dtype=np.float64)
    else:
        sent = scenario.workload.trace["domain"].value_counts()
        weight = np.array([float(sent.get(name, 0)) for name in names])
    share, entry_of = weight / max(weight.sum(), 1e-300), scenario.policy.match(names)
    return _Mail(scenario.policy, names, share, entry_of, drawn_words(scenario.population))


def drawn_words(population: Population) -> str:
    """Return ``as drawn from 2020s-web, seed 1, `` where servers are drawn from figures; empty where none are."""
    if population.drawn_by is None:
        return ""
    # A list of one's own is named after itself and the preset whose peers it has: `Population.read_csv`.
    preset = population.name.rpartition("(peers as ")[2].removesuffix(")")
    return f"as drawn from {preset}, seed {population.seed}, "


def _without_mail(mail: _Mail) -> Iterator[Finding]:
    met = set(mail.entry_of[mail.share > 0].tolist())
    below = {
        suffix for name, share in zip(mail.names, mail.share, strict=True) if share for suffix in suffixes_of(name)
    }
    for i, entry in enumerate(mail.policy.entries):
        if i in met:
            continue
        if canonical_domain(entry.domain) in below:
            yield about(
                entry,
                "note",
                "suffix-always-loses",
                what="every destination below it has a nearer entry of its own",
                why="it looks as if it ruled mail, and rules none",
                todo="remove it, or keep it for names to come",
            )
        else:
            address = entry.domain.startswith("[")
            yield about(
                entry,
                "note",
                "no-mail",
                what="a population has names only, so no mail is addressed to it here"
                if address
                else "no destination of the population matches it",
                why="an entry without mail may be a slip of the name, or left over",
                todo="mend the name, or remove it",
            )


def _bare_names(mail: _Mail) -> Iterator[Finding]:
    """Suffixes do not match their own name: ``.example.com`` leaves ``example.com`` to others."""
    row_of = {name: i for i, name in enumerate(mail.names)}
    for i, entry in enumerate(mail.policy.entries):
        row = row_of.get((canonical_domain(entry.domain) or "")[1:]) if entry.domain.startswith(".") else None
        if row is None or not mail.share[row]:
            continue
        ruling = mail.policy.resolved(int(mail.entry_of[row]))
        own = mail.policy.resolved(i)
        if ruling.domain == mail.names[row] or all(getattr(own, f) == getattr(ruling, f) for f in ENTRY_FIELDS):
            continue
        yield about(
            entry,
            "warning",
            "suffix-misses-its-own-name",
            what=f"it does not match {mail.told(np.array([row]))}, which {ruling.domain} rules",
            why="a suffix means the names below it, and the organisation's main domain gets another treatment",
            todo=f"add an entry [{mail.names[row]}] with the same values",
        )


def _tls(mail: _Mail, scenario: Scenario) -> Iterator[Finding]:
    chance = dict(zip(_ASKED, pass_probabilities(scenario, _ASKED), strict=True))
    alive = (
        (chance[Setting.NO].sum(axis=1) > 0)
        & (scenario.population.domains["dns"].to_numpy() == int(Dns.OK))
        & (chance[Setting.NO][:, ENDS.index("in_clear")] > _NEVER)
    )
    no_tls = chance[Setting.REQUIRED][:, ENDS.index("encrypted")] < _NEVER
    verified = ENDS.index("verified")
    no_verify = chance[Setting.REQUIRED_VERIFY][:, verified] < _NEVER
    no_hosted = chance[Setting.REQUIRED_VERIFY_HOSTED][:, verified] < _NEVER
    for entry, rows in mail.entries():
        rows = rows[alive[rows]]
        without = rows[no_tls[rows]]
        rest = rows[~no_tls[rows]]
        if entry.tls in REQUIRES and without.size:
            yield _no_starttls(entry, mail.drawn, mail.told(without))
        if entry.tls == Setting.REQUIRED_VERIFY:
            hosted, never = rest[no_verify[rest] & ~no_hosted[rest]], rest[no_verify[rest] & no_hosted[rest]]
            if hosted.size:
                yield _needs_hosted(entry, mail.drawn, mail.told(hosted))
            if never.size:
                yield _never_verifies(entry, mail.drawn, mail.told(never))
        elif entry.tls == Setting.REQUIRED_VERIFY_HOSTED and (never := rest[no_hosted[rest]]).size:
            yield _never_verifies(entry, mail.drawn, mail.told(never))
        elif entry.tls == Setting.PREFERRED_VERIFY and (never := rest[no_verify[rest]]).size:
            yield _buys_nothing(entry, mail.drawn, mail.told(never))


def _no_starttls(entry: Entry, drawn: str, names: str) -> Finding:
    return about(
        entry,
        "warning",
        "required-without-starttls",
        what=f"{entry.tls}, and {drawn}no server there completes TLS: {names}",
        why="all of this mail waits until its lifetime ends and then bounces; none of it is delivered",
        todo="agree on TLS with the receiver first; until then Preferred (table_tls = on) delivers it",
    )


def _needs_hosted(entry: Entry, drawn: str, names: str) -> Finding:
    return about(
        entry,
        "warning",
        "verify-needs-hosted",
        what=f"{entry.tls}, and {drawn}the certificate names the mail host, not the recipient's domain: {names}",
        why="this setting accepts only names of the recipient's domain, so the mail waits and then bounces",
        todo="use Required - Verify Hosted Domains, which accepts the MX host's name",
    )


def _never_verifies(entry: Entry, drawn: str, names: str) -> Finding:
    return about(
        entry,
        "warning",
        "certificate-never-verifies",
        what=f"{entry.tls}, and {drawn}the certificate is expired, not trusted or names neither domain nor "
        f"host: {names}",
        why="no verification can succeed there, so the mail waits and then bounces",
        todo="ask the receiver to renew the certificate; until then Required encrypts without verifying",
    )


def _buys_nothing(entry: Entry, drawn: str, names: str) -> Finding:
    return about(
        entry,
        "note",
        "verification-never-succeeds",
        what=f"{entry.tls}, and {drawn}the certificate never verifies under its name rule: {names}",
        why="the mail goes encrypted and not verified, as under Preferred, and the entry reads as if it were verified",
        todo="use Preferred, or Required - Verify Hosted Domains where the certificate names the mail host",
    )


def _limits(mail: _Mail, scenario: Scenario) -> Iterator[Finding]:
    load = _Load(scenario, mail.share)
    for entry, rows in mail.entries():
        addresses: Float = np.where(entry.limit_type == LimitType.MXIP, load.routes[rows], 1).astype(np.float64)
        connections = float(entry.max_host_concurrency or 1) * addresses
        asked = load.connections(rows, entry.max_messages_per_connection or 1)
        yield from _compare(
            mail, entry, rows, asked, connections, "connections", "max_host_concurrency", "connections at once"
        )
        if entry.recipient_limit and entry.recipient_minutes:
            recipients = float(entry.recipient_limit * 60 / entry.recipient_minutes) * addresses
            yield from _compare(
                mail, entry, rows, load.recipients_an_hour[rows], recipients, "recipients", "recipient_limit",
                "recipients an hour",
            )  # fmt: skip


def _compare(
    mail: _Mail, entry: Entry, rows: Int64, asked: Float, allowed: Float, what: str, key: str, unit: str
) -> Iterator[Finding]:
    used = asked / allowed
    tight = np.flatnonzero(used >= _CLOSE)
    if not tight.size:
        return
    worst = int(tight[np.argmax(used[tight])])
    above = bool(used[worst] >= 1)
    drawn = mail.drawn if what == "connections" else ""
    others = rows[np.delete(tight, np.searchsorted(tight, worst))]
    yield about(
        entry,
        "warning" if above else "note",
        f"{what}-below-the-load" if above else f"{what}-close-to-the-load",
        what=f"{key}: {drawn}{mail.told(rows[[worst]])} needs {asked[worst]:,.1f} {unit} in its busiest hour and may "
        f"have {allowed[worst]:,.0f}" + (f"; likewise {mail.told(others)}" if others.size else ""),
        why="mail waits in the queue while the hour lasts"
        if above
        else "a little more mail, or a slower server, and mail waits in the queue",
        todo=f"raise {key} {_times(float(used[worst]))}, or send this mail at quieter hours",
    )


def _times(used: float) -> str:
    """Say how far to raise a limit, so that the busiest hour takes `_CLOSE` of it."""
    if used < 1:
        return "by a quarter"
    raised = math.ceil(used / _CLOSE * 10) / 10
    return f"{raised:,.1f} times (the need is {used:,.2f} times the limit; a quarter is added)"


class _Load:
    """What the busiest hour of the week asks of each destination.

    Attributes
    ----------
    recipients_an_hour, routes : recipients expected in that hour, and MX addresses, (D,).
    """

    def __init__(self, scenario: Scenario, share: Float) -> None:
        workload, population = scenario.workload, scenario.population
        hourly, weekday = np.asarray(workload.hourly), np.asarray(workload.weekday)
        peak = float(weekday.max() / weekday.mean() * hourly.max() / hourly.mean()) / 24
        per_day = workload.messages_per_day
        total = float(population.domains["messages"].sum()) if per_day is None else per_day
        recipients = float(np.asarray(workload.recipients.mean()))  # type: ignore[union-attr]
        size_bytes = float(np.asarray(workload.size_bytes.mean()))  # type: ignore[union-attr]
        self.messages_an_hour: Float = share * total * peak
        self.recipients_an_hour: Float = self.messages_an_hour * recipients
        route, hosts = population.routes, population.hosts
        domain = route["domain"].to_numpy()
        self.routes: Int64 = np.bincount(domain, minlength=len(share))
        first = np.unique(domain, return_index=True)
        rtt_s, accept_s = np.zeros(len(share)), np.zeros(len(share))
        slow = np.full(len(share), np.inf)
        host = hosts.iloc[route["host"].to_numpy()[first[1]]]
        rtt_s[first[0]] = host["rtt_s"].to_numpy()
        accept_s[first[0]] = host["accept_median_s"] * np.exp(host["accept_sigma"].to_numpy() ** 2 / 2)
        slow[first[0]] = host["throughput_bytes_per_s"].to_numpy()
        # As `sim.delivery.rules`: MAIL, each RCPT, DATA; to open: connect, greeting, EHLO, STARTTLS, handshake, EHLO.
        self._message_s: Float = (3 + recipients) * rtt_s + size_bytes / slow + accept_s
        self._opening_s: Float = 6 * rtt_s + scenario.delivery.dns_s

    def connections(self, rows: Int64, messages_each: int) -> Float:
        """Return the connections busy at once on average, each carrying as many messages as it may."""
        seconds = self._message_s[rows] + self._opening_s[rows] / messages_each
        return np.asarray(self.messages_an_hour[rows] * seconds / 3_600)
