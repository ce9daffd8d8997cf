"""The ESA's tables against tech note 118955, cell by cell, and what no switch may change."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from sim.errors import PolicyError
from sim.policy.decide import Tables, at_least_as_strict, decide, order_text
from sim.policy.profiles import esa
from sim.policy.profiles.esa import Switches, tables
from sim.policy.text_tables import split_table
from sim.terms import Chain, Demand, NameRule, Outcome, Reason, Seen, Setting, Stage

ALL_SWITCHES = [
    Switches(pv_after_220=pv, starttls_5xx_required=five, tls_failure_next_mx=mx)
    for pv, five, mx in product(("clear", "fail"), ("queue", "bounce"), (True, False))
]
REQUIRED = [Setting.REQUIRED, Setting.REQUIRED_VERIFY, Setting.REQUIRED_VERIFY_HOSTED]

# The note, as its table "TLS setting definitions" has it; "lost there" (before the 220) and "lost in TLS" are our own
# columns (no source), where the note's "the negotiation failed" is taken as a failed attempt.
THE_NOTE = """
    TLS setting                      | before the 220 | lost there | handshake | lost in TLS | not verified | verified
    No                               | clear          | clear      | clear     | clear       | clear        | clear
    Preferred                        | clear          | not sent   | not sent  | not sent    | encrypted    | encrypted
    Required                         | not sent       | not sent   | not sent  | not sent    | encrypted    | encrypted
    Preferred - Verify               | clear          | not sent   | clear     | not sent    | encrypted    | verified
    Required - Verify                | not sent       | not sent   | not sent  | not sent    | not sent     | verified
    Required - Verify Hosted Domains | not sent       | not sent   | not sent  | not sent    | not sent     | verified
"""
COLUMNS = {
    "before the 220": [Seen.NOT_OFFERED, Seen.REFUSED_4XX, Seen.REFUSED_5XX],
    "lost there": [Seen.LOST_BEFORE_220],
    "handshake": [Seen.HANDSHAKE_FAILED, Seen.HANDSHAKE_TIMEOUT],
    "lost in TLS": [Seen.LOST_IN_TLS],
    "not verified": [Seen.UNTRUSTED, Seen.EXPIRED, Seen.MISMATCH],
    "verified": [Seen.VERIFIED],
}
WORDS = {
    Outcome.DELIVER_CLEAR: "clear",
    Outcome.RECONNECT_CLEAR: "clear",
    Outcome.DELIVER_ENCRYPTED: "encrypted",
    Outcome.DELIVER_VERIFIED: "verified",
    Outcome.NEXT_HOST: "not sent",
}
BEFORE_TLS = {
    Seen.DNS_TEMPORARY: Outcome.RETRY,
    Seen.DNS_PERMANENT: Outcome.BOUNCE_ALL,
    Seen.UNREACHABLE: Outcome.NEXT_HOST,
    Seen.GREETING_4XX: Outcome.NEXT_HOST,
    Seen.GREETING_5XX: Outcome.NEXT_HOST,
}


def outcome_of(setting: Setting, seen: Seen, built: Tables | None = None) -> Outcome:
    t = built or tables()
    return Outcome(int(t.outcome[t.plain(setting)[0], seen, 0]))


def test_every_cell_says_what_the_note_says() -> None:
    heading, rows = split_table(THE_NOTE)
    assert [row[0] for row in rows] == [s.label for s in Setting]
    met = set()
    for setting, row in zip(Setting, rows, strict=True):
        for column, word in zip(heading[1:], row[1:], strict=True):
            for seen in COLUMNS[column]:
                assert WORDS[outcome_of(setting, seen)] == word, f"{setting}, {seen}"
                met.add((setting, seen))
        for seen, expected in BEFORE_TLS.items():
            assert outcome_of(setting, seen) is expected, f"{setting}, {seen}"
            met.add((setting, seen))
    assert met == set(product(Setting, Seen)), "a cell of the tables was not looked at"


def test_a_handshake_that_fails_under_preferred_verify_is_made_good_on_a_new_connection() -> None:
    assert outcome_of(Setting.PREFERRED_VERIFY, Seen.HANDSHAKE_FAILED) is Outcome.RECONNECT_CLEAR
    others = [(s, k) for s, k in product(Setting, Seen) if outcome_of(s, k) is Outcome.RECONNECT_CLEAR]
    assert others == [(Setting.PREFERRED_VERIFY, seen) for seen in (Seen.HANDSHAKE_FAILED, Seen.HANDSHAKE_TIMEOUT)]


def test_demands_and_name_rules() -> None:
    got = [(setting, *tables().plain(setting)) for setting in Setting]
    assert got == [
        (Setting.NO, Demand.CLEAR, NameRule.NONE),
        (Setting.PREFERRED, Demand.OPPORTUNISTIC, NameRule.NONE),
        (Setting.REQUIRED, Demand.ENCRYPT, NameRule.NONE),
        (Setting.PREFERRED_VERIFY, Demand.OPPORTUNISTIC_VERIFY, NameRule.VERIFY),
        (Setting.REQUIRED_VERIFY, Demand.VERIFY, NameRule.VERIFY),
        (Setting.REQUIRED_VERIFY_HOSTED, Demand.VERIFY, NameRule.HOSTED),
    ]


def test_evidence_is_sorted_by_stage_then_version_then_chain_then_name() -> None:
    for stage, version, chain, holds in product(Stage, (0, 1), Chain, (0, 1)):
        got = Seen(int(tables().seen[stage, version, chain, holds]))
        assert got is expected_seen(stage, bool(version), chain, bool(holds))


def expected_seen(stage: Stage, version: bool, chain: Chain, holds: bool) -> Seen:
    if stage in (Stage.NXDOMAIN, Stage.NULL_MX):
        return Seen.DNS_PERMANENT
    if stage in (Stage.TLS, Stage.LOST_IN_TLS) and not version:
        return Seen.HANDSHAKE_FAILED
    if stage is not Stage.TLS:
        return Seen[stage.name]
    if chain is Chain.TRUSTED:
        return Seen.VERIFIED if holds else Seen.MISMATCH
    return Seen.EXPIRED if chain is Chain.EXPIRED else Seen.UNTRUSTED


@pytest.mark.parametrize("switches", ALL_SWITCHES, ids=str)
def test_required_demands_never_deliver_in_clear(switches: Switches) -> None:
    """Over all evidence, ages and switches: the promise *never in clear*."""
    combined = tables(switches).combined[REQUIRED]
    assert not np.isin(combined, [Outcome.DELIVER_CLEAR, Outcome.RECONNECT_CLEAR]).any()


@pytest.mark.parametrize("switches", ALL_SWITCHES, ids=str)
def test_verifying_demands_deliver_nothing_unverified(switches: Switches) -> None:
    combined = tables(switches).combined[[Setting.REQUIRED_VERIFY, Setting.REQUIRED_VERIFY_HOSTED]]
    assert not (combined == Outcome.DELIVER_ENCRYPTED).any()


@pytest.mark.parametrize("switches", ALL_SWITCHES, ids=str)
def test_each_switch_changes_its_own_cells_and_no_others(switches: Switches) -> None:
    base, turned = tables(), tables(switches)
    for setting, seen in product(Setting, Seen):
        expected = outcome_of(setting, seen, base)
        if expected is Outcome.RECONNECT_CLEAR and switches.pv_after_220 == "fail":
            expected = Outcome.NEXT_HOST
        if setting in REQUIRED and seen is Seen.REFUSED_5XX and switches.starttls_5xx_required == "bounce":
            expected = Outcome.BOUNCE_MESSAGE
        if seen >= Seen.NOT_OFFERED and expected is Outcome.NEXT_HOST and not switches.tls_failure_next_mx:
            expected = Outcome.RETRY
        assert outcome_of(setting, seen, turned) is expected, f"{setting}, {seen}"


def test_no_outcome_depends_on_age() -> None:
    assert all((tables(s).outcome[..., 0] == tables(s).outcome[..., 1]).all() for s in ALL_SWITCHES)


@pytest.mark.parametrize("switches", ALL_SWITCHES, ids=str)
def test_a_reason_stands_exactly_where_mail_does_not_flow(switches: Switches) -> None:
    t = tables(switches)
    delivers = t.outcome[..., 0] <= Outcome.DELIVER_VERIFIED
    assert ((t.reason == Reason.NONE) == delivers).all()


@pytest.mark.parametrize(
    ("setting", "seen", "reason"),
    [
        (Setting.REQUIRED, Seen.NOT_OFFERED, "starttls-not-supported"),
        (Setting.REQUIRED, Seen.REFUSED_4XX, "starttls-not-supported"),
        (Setting.PREFERRED, Seen.HANDSHAKE_FAILED, "validation-failure"),
        (Setting.REQUIRED_VERIFY, Seen.UNTRUSTED, "certificate-not-trusted"),
        (Setting.REQUIRED_VERIFY, Seen.EXPIRED, "certificate-expired"),
        (Setting.REQUIRED_VERIFY_HOSTED, Seen.MISMATCH, "certificate-host-mismatch"),
        (Setting.PREFERRED, Seen.LOST_IN_TLS, "session-lost"),
        (Setting.NO, Seen.GREETING_5XX, "unexpected-greeting"),
    ],
)
def test_reasons_are_spelled_as_rfc_8460_does(setting: Setting, seen: Seen, reason: str) -> None:
    assert Reason(int(tables().reason[tables().plain(setting)[0], seen])).label == reason


def test_the_printed_order_of_settings() -> None:
    assert order_text(tables()) == (
        "Required - Verify = Required - Verify Hosted Domains\n"
        "No < Preferred\n"
        "No < Preferred - Verify\n"
        "Preferred < Required\n"
        "Required < Required - Verify\n"
        "Preferred - Verify < Required - Verify\n"
    )


def test_preferred_verify_is_above_preferred_only_when_it_does_not_fall_back() -> None:
    pair = (Setting.PREFERRED, Setting.PREFERRED_VERIFY)
    assert not at_least_as_strict(tables())[pair]
    assert at_least_as_strict(tables(Switches(pv_after_220="fail")))[pair]


@pytest.mark.parametrize("switches", ALL_SWITCHES, ids=str)
def test_the_order_is_an_order(switches: Switches) -> None:
    le = at_least_as_strict(tables(switches))
    assert le.diagonal().all()
    for s, t, u in product(Setting, repeat=3):
        assert not (le[s, t] and le[t, u]) or le[s, u]
    assert le[Setting.NO].all()
    assert le[:, Setting.REQUIRED_VERIFY].all()


def test_the_cells_no_source_settles_are_listed_with_every_switch_that_changes_them() -> None:
    cells = esa.unsettled()
    assert (Seen.REFUSED_5XX, Demand.VERIFY, ("starttls_5xx_required", "tls_failure_next_mx")) in cells
    turned = {
        "pv_after_220": tables(Switches(pv_after_220="fail")),
        "starttls_5xx_required": tables(Switches(starttls_5xx_required="bounce")),
        "tls_failure_next_mx": tables(Switches(tls_failure_next_mx=False)),
    }
    for seen, demand, switches in cells:
        changing = {s for s, t in turned.items() if t.outcome[demand, seen, 0] != tables().outcome[demand, seen, 0]}
        assert set(switches) == changing, f"{seen}, {demand}"


def test_a_bounce_after_the_last_host_asks_the_last_host_whatever_the_other_switch_says() -> None:
    both = tables(Switches(starttls_5xx_required="bounce", tls_failure_next_mx=False))
    assert (both.outcome[[Demand.ENCRYPT, Demand.VERIFY], Seen.REFUSED_5XX] == Outcome.BOUNCE_MESSAGE).all()


def test_the_matrix_says_the_outcome_of_every_cell_and_marks_those_no_source_settles() -> None:
    words, rows, columns = esa.matrix()
    assert (rows, columns) == ([s.label for s in Seen], [s.label for s in Setting])
    open_cells = {(seen, demand) for seen, demand, _ in esa.unsettled()}
    for seen, setting in product(Seen, Setting):
        said, mark = words[seen][setting].removesuffix(" ?"), words[seen][setting].endswith(" ?")
        assert said == outcome_of(setting, seen).label.replace("reconnect in clear", "clear, 2nd try")
        assert mark == ((seen, tables().plain(setting)[0]) in open_cells)
    assert words[Seen.HANDSHAKE_FAILED][Setting.PREFERRED_VERIFY] == "clear, 2nd try ?"
    assert words[Seen.VERIFIED][Setting.REQUIRED_VERIFY] == "verified"
    assert sum(word.endswith(" ?") for row in words for word in row) == 53


def test_the_matrix_follows_the_switches_and_keeps_their_marks() -> None:
    words, _, _ = esa.matrix(Switches(pv_after_220="fail"))
    assert words[Seen.HANDSHAKE_FAILED][Setting.PREFERRED_VERIFY] == "next host ?"


def test_the_same_switches_give_the_same_tables() -> None:
    assert tables() is tables(Switches())
    assert tables().hash != tables(Switches(pv_after_220="fail")).hash


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("pv_after_220", "claer", "switch pv_after_220 = 'claer'; allowed: clear, fail. Did you mean 'clear'?"),
        ("starttls_5xx_required", True, "switch starttls_5xx_required = True; allowed: queue, bounce."),
        ("tls_failure_next_mx", 1, "switch tls_failure_next_mx = 1; allowed: true, false."),
    ],
)
def test_a_wrong_switch_is_told(name: str, value: object, told: str) -> None:
    with pytest.raises(PolicyError) as fault:
        Switches(**{name: value})  # type: ignore[arg-type]
    assert str(fault.value) == told


def test_the_text_names_every_setting_and_every_class() -> None:
    text = tables().text()
    assert all(term.label in text for terms in (Setting, list(tables().demands), Stage, Chain, Seen) for term in terms)
    outcome, reason = (line.split(" | ") for line in text.splitlines() if line.startswith("handshake failed"))
    next_host = "next host"
    wanted = ["clear", next_host, next_host, "reconnect in clear", next_host, next_host]
    assert [cell.strip() for cell in outcome[1:]] == wanted
    assert [cell.strip() for cell in reason[1:]] == ["none", *["validation-failure"] * 5]


def test_decide_reads_as_the_note_does() -> None:
    got = decide(list(Setting), Stage.TLS, True, Chain.SELF_SIGNED, False, tables())
    assert [WORDS[Outcome(c)] for c in got] == ["clear", "encrypted", "encrypted", "encrypted", "not sent", "not sent"]
