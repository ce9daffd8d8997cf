"""Cisco ESA (AsyncOS): Destination Controls as tech note 118955 "Control TLS Negotiation on Delivery" states them.

Cells that end in ``?`` have no source; what stands behind it names the switches that change the cell (`Switches`), each
with a page in docs/decisions/. Everything else follows the note, its six settings in its order.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sim.policy import sheets
from sim.policy.decide import Tables
from sim.policy.profile import Profile, Switch, Value
from sim.terms import Demand, Outcome, Seen, Setting

SOURCE = "Cisco tech note 118955; AsyncOS user guide 8.0.1 to 10.0, table 'TLS Settings for Delivery'"

#: Name rules: tech notes 118583 (verify) and 200537 (hosted). No, Preferred and Required check no certificate.
#: The rows of DANE and MTA-STS, and their precedence, are remembered from the guide of AsyncOS 12 and unconfirmed in
#: detail; no document of the gateway names MTA-STS, so its rows stand only where a switch asks for them.
DEMANDS = """
    TLS setting                             | DANE option              | DANE           | MTA-STS | MX listed | demand | name rule
    No                                      | any                      | any            | any     | any | clear          | none
    any                                     | opportunistic, mandatory | usable         | any     | any | dane           | tlsa
    any                                     | opportunistic, mandatory | bogus          | any     | any | hold: bogus    | none
    any                                     | mandatory                | none, insecure | any     | any | hold: no dane  | none
    mta_sts=true: any                       | any                      | any            | enforce | yes | mta-sts        | mta-sts
    mta_sts=true: any                       | any                      | any            | enforce | no  | hold: unlisted | none
    Preferred, Required, Preferred - Verify | opportunistic, mandatory | unusable       | any     | any | encrypt        | none
    Preferred                               | any                      | any            | any     | any | opportunistic  | none
    Required                                | any                      | any            | any     | any | encrypt        | none
    Preferred - Verify                      | any                      | any            | any     | any | opportunistic-verify | verify
    Required - Verify                       | any                      | any            | any     | any | verify         | verify
    Required - Verify Hosted Domains        | any                      | any            | any     | any | verify         | hosted
"""  # noqa: E501

#: Under *clear* STARTTLS is never tried, so what TLS would have come to does not matter. "next host" is the note's
#: "not sent": the attempt fails when every MX host has failed, and the message waits for its bounce profile's retry.
OUTCOMES = """
    seen             | clear         | opportunistic                  | encrypt                                               | opportunistic-verify                                  | verify                                                | dane                           | mta-sts
    DNS temporary    | retry later ? | retry later ?                  | retry later ?                                         | retry later ?                                         | retry later ?                                         | retry later ?                  | retry later ?
    DNS permanent    | bounce all ?  | bounce all ?                   | bounce all ?                                          | bounce all ?                                          | bounce all ?                                          | bounce all ?                   | bounce all ?
    unreachable      | next host     | next host                      | next host                                             | next host                                             | next host                                             | next host                      | next host
    greeting 4xx     | next host     | next host                      | next host                                             | next host                                             | next host                                             | next host                      | next host
    greeting 5xx     | next host ?   | next host ?                    | next host ?                                           | next host ?                                           | next host ?                                           | next host ?                    | next host ?
    not offered      | clear         | clear                          | next host ?tls_failure_next_mx                        | clear                                                 | next host ?tls_failure_next_mx                        | next host ?tls_failure_next_mx | next host ?tls_failure_next_mx
    refused 4xx      | clear         | clear                          | next host ?tls_failure_next_mx                        | clear                                                 | next host ?tls_failure_next_mx                        | next host ?tls_failure_next_mx | next host ?tls_failure_next_mx
    refused 5xx      | clear         | clear                          | next host ?starttls_5xx_required, tls_failure_next_mx | clear                                                 | next host ?starttls_5xx_required, tls_failure_next_mx | next host ?tls_failure_next_mx | next host ?tls_failure_next_mx
    lost before 220  | clear         | next host ?tls_failure_next_mx | next host ?tls_failure_next_mx                        | next host ?tls_failure_next_mx                        | next host ?tls_failure_next_mx                        | next host ?tls_failure_next_mx | next host ?tls_failure_next_mx
    handshake failed | clear         | next host ?tls_failure_next_mx | next host ?tls_failure_next_mx                        | reconnect in clear ?pv_after_220, tls_failure_next_mx | next host ?tls_failure_next_mx                        | next host ?tls_failure_next_mx | next host ?tls_failure_next_mx
    handshake hangs  | clear         | next host ?tls_failure_next_mx | next host ?tls_failure_next_mx                        | reconnect in clear ?pv_after_220, tls_failure_next_mx | next host ?tls_failure_next_mx                        | next host ?tls_failure_next_mx | next host ?tls_failure_next_mx
    lost in TLS      | clear         | next host ?tls_failure_next_mx | next host ?tls_failure_next_mx                        | next host ?tls_failure_next_mx                        | next host ?tls_failure_next_mx                        | next host ?tls_failure_next_mx | next host ?tls_failure_next_mx
    untrusted        | clear         | encrypted                      | encrypted                                             | encrypted                                             | next host ?tls_failure_next_mx                        | next host ?tls_failure_next_mx | next host ?tls_failure_next_mx
    expired          | clear         | encrypted                      | encrypted                                             | encrypted                                             | next host ?tls_failure_next_mx                        | next host ?tls_failure_next_mx | next host ?tls_failure_next_mx
    name mismatch    | clear         | encrypted                      | encrypted                                             | encrypted                                             | next host ?tls_failure_next_mx                        | next host ?tls_failure_next_mx | next host ?tls_failure_next_mx
    verified         | clear         | encrypted                      | encrypted                                             | verified                                              | verified                                              | verified                       | verified
"""  # noqa: E501

SWITCHES: dict[str, Switch] = {
    "pv_after_220": Switch(
        about="Preferred - Verify when the handshake fails after the 220",
        outcomes={"clear": None, "fail": Outcome.NEXT_HOST},
    ),
    "starttls_5xx_required": Switch(
        about="a 5xx answer to STARTTLS under the required settings",
        outcomes={"queue": None, "bounce": Outcome.BOUNCE_MESSAGE},
    ),
    "tls_failure_next_mx": Switch(
        about="whether a TLS failure that leaves mail unsent goes to the next MX host",
        outcomes={True: None, False: Outcome.RETRY},
    ),
    "mta_sts": Switch(about="whether policies of RFC 8461 are honoured", outcomes={False: None, True: None}),
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
    mta_sts : whether MTA-STS policies (RFC 8461) are honoured: no document of the gateway says so.

    Raises
    ------
    PolicyError
        When a switch has another value.
    """

    pv_after_220: str = "clear"
    starttls_5xx_required: str = "queue"
    tls_failure_next_mx: bool = True
    mta_sts: bool = False

    def __post_init__(self) -> None:
        PROFILE.resolved(self.values())

    def values(self) -> dict[str, Value]:
        """Return them by name."""
        return asdict(self)


PROFILE = Profile(
    key="esa",
    title="Cisco ESA",
    source=SOURCE,
    settings=Setting,
    default=Setting.NO,
    nearest={setting: setting for setting in Setting},
    demands=DEMANDS,
    outcomes=OUTCOMES,
    switches=SWITCHES,
    queueing=None,
)


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
    return PROFILE.tables((switches or Switches()).values())


def unsettled() -> list[tuple[Seen, Demand, tuple[str, ...]]]:
    """List the cells of the outcome table that no source settles (`Profile.unsettled`)."""
    return PROFILE.unsettled()


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
    return sheets.matrix(PROFILE, (switches or Switches()).values())
