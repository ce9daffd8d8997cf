"""Cisco ESA (AsyncOS): Destination Controls as tech note 118955 "Control TLS Negotiation on Delivery" states them.

Cells that end in ``?`` have no source; a mark behind it names the switches that change the cell (`Switches`), each with
a page in docs/decisions/. Everything else follows the note, its six settings in its order.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache

import numpy as np

from sim.errors import PolicyError, complaint
from sim.policy.decide import Tables
from sim.policy.text_tables import Grid, read_columns, read_evidence, read_table, split_table, term
from sim.terms import Demand, NameRule, Outcome, Reason, Seen, Setting

SOURCE = "Cisco tech note 118955; AsyncOS user guide 8.0.1 to 10.0, table 'TLS Settings for Delivery'"

#: Name rules: tech notes 118583 (verify) and 200537 (hosted). No, Preferred and Required check no certificate.
DEMANDS = """
    TLS setting                     | demand               | name rule
    No                              | clear                | none
    Preferred                       | opportunistic        | none
    Required                        | encrypt              | none
    Preferred - Verify              | opportunistic-verify | verify
    Required - Verify               | verify               | verify
    Required - Verify Hosted Domains | verify              | hosted
"""

#: In the order a connection meets them. A version below the sender's minimum ends the handshake, so TLS never comes up.
EVIDENCE = """
    stage             | TLS version          | chain         | name rule     | seen
    dns-temporary     | any                  | any           | any           | DNS temporary
    nxdomain, null-mx | any                  | any           | any           | DNS permanent
    unreachable       | any                  | any           | any           | unreachable
    greeting-4xx      | any                  | any           | any           | greeting 4xx
    greeting-5xx      | any                  | any           | any           | greeting 5xx
    not-offered       | any                  | any           | any           | not offered
    refused-4xx       | any                  | any           | any           | refused 4xx
    refused-5xx       | any                  | any           | any           | refused 5xx
    lost-before-220   | any                  | any           | any           | lost before 220
    handshake-failed  | any                  | any           | any           | handshake failed
    lost-in-tls, tls  | below the minimum    | any           | any           | handshake failed
    lost-in-tls       | at least the minimum | any           | any           | lost in TLS
    tls               | at least the minimum | self-signed, unknown-issuer, not-yet-valid, revoked | any | untrusted
    tls               | at least the minimum | expired       | any           | expired
    tls               | at least the minimum | trusted       | does not hold | name mismatch
    tls               | at least the minimum | trusted       | holds         | verified
"""

#: Under *clear* STARTTLS is never tried, so what TLS would have come to does not matter. "next host" is the note's
#: "not sent": the attempt fails when every MX host has failed, and the message waits for its bounce profile's retry.
OUTCOMES = """
    seen             | clear        | opportunistic | encrypt        | opportunistic-verify   | verify
    DNS temporary    | retry later ? | retry later ? | retry later ? | retry later ?          | retry later ?
    DNS permanent    | bounce all ? | bounce all ?  | bounce all ?   | bounce all ?           | bounce all ?
    unreachable      | next host    | next host     | next host      | next host              | next host
    greeting 4xx     | next host    | next host     | next host      | next host              | next host
    greeting 5xx     | next host ?  | next host ?   | next host ?    | next host ?            | next host ?
    not offered      | clear        | clear         | next host ?mx  | clear                  | next host ?mx
    refused 4xx      | clear        | clear         | next host ?mx  | clear                  | next host ?mx
    refused 5xx      | clear        | clear         | next host ?5xx | clear                  | next host ?5xx
    lost before 220  | clear        | next host ?mx | next host ?mx  | next host ?mx          | next host ?mx
    handshake failed | clear        | next host ?mx | next host ?mx  | reconnect in clear ?pv | next host ?mx
    lost in TLS      | clear        | next host ?mx | next host ?mx  | next host ?mx          | next host ?mx
    untrusted        | clear        | encrypted     | encrypted      | encrypted              | next host ?mx
    expired          | clear        | encrypted     | encrypted      | encrypted              | next host ?mx
    name mismatch    | clear        | encrypted     | encrypted      | encrypted              | next host ?mx
    verified         | clear        | encrypted     | encrypted      | verified               | verified
"""

#: Result types of RFC 8460 section 4.3 where it has one. Used only where mail does not flow on the connection.
REASONS = """
    seen             | reason
    DNS temporary    | dns-temporary
    DNS permanent    | dns-permanent
    unreachable      | unreachable
    greeting 4xx     | unexpected-greeting
    greeting 5xx     | unexpected-greeting
    not offered      | starttls-not-supported
    refused 4xx      | starttls-not-supported
    refused 5xx      | starttls-not-supported
    lost before 220  | session-lost
    handshake failed | validation-failure
    lost in TLS      | session-lost
    untrusted        | certificate-not-trusted
    expired          | certificate-expired
    name mismatch    | certificate-host-mismatch
    verified         | none
"""

#: The switches that change the cells with a mark of `OUTCOMES`, the one they are about first.
MARKS: dict[str, tuple[str, ...]] = {
    "": (),
    "pv": ("pv_after_220",),
    "5xx": ("starttls_5xx_required", "tls_failure_next_mx"),
    "mx": ("tls_failure_next_mx",),
}

#: The word of a cell where an outcome's own label is too long for one.
_SHORT = {Outcome.RECONNECT_CLEAR: "clear, 2nd try"}

_ALLOWED: dict[str, tuple[object, ...]] = {
    "pv_after_220": ("clear", "fail"),
    "starttls_5xx_required": ("queue", "bounce"),
    "tls_failure_next_mx": (True, False),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """Choices where no source settles a cell.

    Attributes
    ----------
    pv_after_220 : Preferred - Verify when the handshake fails after the 220: ``clear`` (the note's own words for
        "no TLS connection") or ``fail`` (as Preferred).
    starttls_5xx_required : a 5xx answer to STARTTLS under the required settings: ``queue`` (a failed attempt) or
        ``bounce`` (the opening message, after the last host: the next is tried whatever `tls_failure_next_mx` says).
    tls_failure_next_mx : whether a TLS failure that leaves mail unsent goes to the next MX host, or straight to
        the retry timer.

    Raises
    ------
    PolicyError
        When a switch has another value.
    """

    pv_after_220: str = "clear"
    starttls_5xx_required: str = "queue"
    tls_failure_next_mx: bool = True

    def __post_init__(self) -> None:
        for f in fields(self):
            value, allowed = getattr(self, f.name), _ALLOWED[f.name]
            if value not in allowed or isinstance(value, bool) != isinstance(allowed[0], bool):
                raise PolicyError(complaint(f"switch {f.name}", value, [str(a).lower() for a in allowed]))


def tables(switches: Switches | None = None) -> Tables:
    """Build the ESA's tables; the same switches give the same object.

    Parameters
    ----------
    switches : choices where no source settles a cell; ``None`` takes the defaults of `Switches`.

    Returns
    -------
    Tables
        Neither outcome nor reason depends on the age of a message: the ESA has no such rule.
    """
    return _tables(switches or Switches())


@cache
def _tables(switches: Switches) -> Tables:
    demand, rule = read_columns(DEMANDS, rows=Setting, columns=(Demand, NameRule))
    outcome = _switched(read_table(OUTCOMES, rows=Seen, columns=Demand, cells=Outcome), switches)
    (reason,) = read_columns(REASONS, rows=Seen, columns=(Reason,))
    delivers = outcome <= Outcome.DELIVER_VERIFIED
    return Tables(
        demand=demand,
        rule=rule,
        seen=read_evidence(EVIDENCE),
        outcome=np.repeat(outcome.T[:, :, None], 2, axis=2),
        reason=np.where(delivers, np.uint8(Reason.NONE), reason[:, None]).T,
    )


def _switched(grid: Grid, switches: Switches) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    codes = grid.codes.copy()
    if switches.pv_after_220 == "fail":
        codes[grid.marks["pv"]] = Outcome.NEXT_HOST
    if switches.starttls_5xx_required == "bounce":
        codes[grid.marks["5xx"]] = Outcome.BOUNCE_MESSAGE
    if not switches.tls_failure_next_mx:
        codes[Seen.NOT_OFFERED :][codes[Seen.NOT_OFFERED :] == Outcome.NEXT_HOST] = Outcome.RETRY
    return codes


def unsettled() -> list[tuple[Seen, Demand, tuple[str, ...]]]:
    """List the cells of the outcome table that no source settles, with the switches that change each.

    Returns
    -------
    list of (Seen, Demand, tuple of str)
        In the order of the table; no switches where the choice has none. Where there are two, the first is about the
        cell; the second changes it while the first has its default.
    """
    heading, rows = split_table(OUTCOMES)
    found: list[tuple[Seen, Demand, tuple[str, ...]]] = []
    for row in rows:
        for column, cell in zip(heading[1:], row[1:], strict=True):
            _, question, mark = cell.partition("?")
            if question:
                found.append((term(row[0], Seen), term(column, Demand), MARKS[mark.strip()]))
    return found


def matrix(switches: Switches | None = None) -> tuple[list[list[str]], list[str], list[str]]:
    """Return the decision matrix in words: what each setting does with what one connection to one MX host shows.

    Parameters
    ----------
    switches : as for `tables`.

    Returns
    -------
    words, rows, columns
        Words of the cells, one list a class of evidence, the names of these classes, and those of the settings. A cell
        that no source settles ends in `` ?``, also where a switch has chosen; *clear, 2nd try* is the outcome
        *reconnect in clear*. `sim.results.charts.decision_matrix` draws it: ``decision_matrix(*matrix(), title=...)``.
    """
    built = tables(switches)
    open_cells = {(seen, demand) for seen, demand, _ in unsettled()}
    demands = [Demand(int(built.demand[setting])) for setting in Setting]

    def word(seen: Seen, demand: Demand) -> str:
        outcome = Outcome(int(built.outcome[demand, seen, 0]))
        return _SHORT.get(outcome, outcome.label) + (" ?" if (seen, demand) in open_cells else "")

    words = [[word(seen, demand) for demand in demands] for seen in Seen]
    return words, [seen.label for seen in Seen], [setting.label for setting in Setting]
