"""Laws that hold for every sender, whatever its switches say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from sim.errors import PolicyError
from sim.policy.decide import NOT_USED, Tables
from sim.policy.profile import Profile, Value
from sim.policy.profiles import SENDERS, profile
from sim.policy.text_tables import demands_text, read_demands
from sim.terms import Dane, DaneOption, Demand, MtaSts, NameRule, Outcome, Reason, Seen, Setting

#: Demands under which nothing leaves in clear.
STRICT = (
    Demand.ENCRYPT,
    Demand.VERIFY,
    Demand.DANE,
    Demand.MTA_STS,
    Demand.ENCRYPT_OR_BOUNCE,
    Demand.VERIFY_OR_BOUNCE,
    *NOT_USED,
)
IN_CLEAR = (Outcome.DELIVER_CLEAR, Outcome.RECONNECT_CLEAR)
#: Settings of the gateway that require TLS.
REQUIRED = (Setting.REQUIRED, Setting.REQUIRED_VERIFY, Setting.REQUIRED_VERIFY_HOSTED)
#: Senders for which a policy in testing takes the place of what is set (KumoMTA: by OpportunisticInsecure).
TESTING_COUNTS = ("kumomta",)

#: What a sender may go on in clear after on the session it has: KumoMTA after the EHLO it greets anew with, or since
#: like Haraka it remembers that TLS broke and asks for none.
GOES_ON = {
    "kumomta": {*range(Seen.HANDSHAKE_FAILED, Seen.VERIFIED)} - {Seen.HANDSHAKE_TIMEOUT},
    "haraka": {*range(Seen.LOST_BEFORE_220, len(Seen))},
}


def every_state(known: Profile) -> Iterator[tuple[Mapping[str, Value], Tables]]:
    """Yield the tables of a sender under every combination of its switches."""
    names = list(known.switches)
    for values in product(*(known.switches[name].outcomes for name in names)):
        switches = dict(zip(names, values, strict=True))
        yield switches, known.tables(switches)


@pytest.fixture(params=SENDERS)
def sender(request: pytest.FixtureRequest) -> Profile:
    return profile(request.param)


def test_it_is_what_its_key_says(sender: Profile) -> None:
    assert SENDERS.count(sender.key) == 1
    assert sender.title
    assert sender.source
    assert sender.default in sender.settings
    assert len({setting.label for setting in sender.settings}) == len(sender.settings)


def test_a_strict_demand_never_sends_in_clear(sender: Profile) -> None:
    for switches, tables in every_state(sender):
        for demand in set(STRICT) & set(tables.demands):
            assert not np.isin(tables.outcome[demand], IN_CLEAR).any(), (switches, demand)


def test_a_setting_that_requires_tls_does_so_whatever_the_receiver_publishes(sender: Profile) -> None:
    modes = [mode for mode in MtaSts if mode is not MtaSts.TESTING or sender.key not in TESTING_COUNTS]
    for switches, tables in every_state(sender):
        for setting in sender.settings:
            if tables.plain(setting)[0] in STRICT:
                found = tables.demand[setting][:, :, modes]
                assert np.isin(found, STRICT).all(), (switches, setting)


def test_a_receiver_without_dane_meets_a_sender_without_dane_unless_dane_is_mandatory(sender: Profile) -> None:
    for switches, tables in every_state(sender):
        for table in (tables.demand, tables.rule):
            off = table[:, DaneOption.NONE, Dane.NONE]
            for option, state in product((DaneOption.NONE, DaneOption.OPPORTUNISTIC), (Dane.NONE, Dane.INSECURE)):
                assert (table[:, option, state] == off).all(), (switches, option, state)
        off = tables.demand[:, DaneOption.NONE, Dane.NONE]
        for state in (Dane.NONE, Dane.INSECURE):
            mandatory = tables.demand[:, DaneOption.MANDATORY, state]
            held = np.isin(mandatory, (Demand.HOLD_NO_DANE, Demand.BOUNCE_NO_DANE))
            assert (held | (mandatory == off)).all(), (switches, state)


def test_a_policy_in_testing_blocks_nothing(sender: Profile) -> None:
    for switches, tables in every_state(sender):
        for table, replaced in ((tables.demand, Demand.OPPORTUNISTIC), (tables.rule, NameRule.NONE)):
            testing, none = table[:, :, :, MtaSts.TESTING], table[:, :, :, MtaSts.NONE]
            fits = testing == none
            if sender.key in TESTING_COUNTS:
                fits |= testing == replaced
            assert fits.all(), switches


def test_a_policy_never_goes_before_usable_records_that_count(sender: Profile) -> None:
    for switches, tables in every_state(sender):
        for state in (Dane.USABLE_MATCH, Dane.USABLE_MISMATCH, Dane.USABLE_UNSEEN, Dane.BOGUS):
            by_dane = np.isin(tables.demand[:, :, state, MtaSts.NONE], (Demand.DANE, Demand.HOLD_BOGUS))
            for mode in MtaSts:
                now = tables.demand[:, :, state, mode]
                # To leave a host out that the policy does not list is no way round its records.
                same = (now == tables.demand[:, :, state, MtaSts.NONE]) | (now == Demand.HOLD_UNLISTED)
                assert same[by_dane].all(), (switches, state, mode)


def test_whether_an_mx_host_is_listed_matters_only_to_a_policy_in_force(sender: Profile) -> None:
    for switches, tables in every_state(sender):
        listed = tables.demand[..., 1]
        unlisted = tables.demand[:, :, :, MtaSts.ENFORCE, 0]
        assert (tables.demand[:, :, :, : MtaSts.ENFORCE, 0] == listed[:, :, :, : MtaSts.ENFORCE]).all(), switches
        held = (unlisted == listed[:, :, :, MtaSts.ENFORCE]) | (unlisted == Demand.HOLD_UNLISTED)
        assert held.all(), switches


def test_a_reason_stands_exactly_where_mail_does_not_flow(sender: Profile) -> None:
    for switches, tables in every_state(sender):
        for demand in tables.demands:
            flows = (tables.outcome[demand] <= Outcome.DELIVER_VERIFIED).all(axis=1)
            assert ((tables.reason[demand] == Reason.NONE) == flows).all(), (switches, demand)


def test_only_a_good_certificate_is_verified(sender: Profile) -> None:
    for _, tables in every_state(sender):
        verified = tables.outcome == Outcome.DELIVER_VERIFIED
        assert not verified[:, : Seen.VERIFIED].any()


def test_clear_on_the_same_session_comes_before_a_handshake_and_a_new_connection_after_it(sender: Profile) -> None:
    for switches, tables in every_state(sender):
        for demand in set(tables.demands) - {Demand.CLEAR}:
            same = set(np.flatnonzero((tables.outcome[demand] == Outcome.DELIVER_CLEAR).any(axis=1)).tolist())
            again = set(np.flatnonzero((tables.outcome[demand] == Outcome.RECONNECT_CLEAR).any(axis=1)).tolist())
            assert same - GOES_ON.get(sender.key, set()) <= set(range(Seen.NOT_OFFERED, Seen.LOST_BEFORE_220)), switches
            assert again <= set(range(Seen.LOST_BEFORE_220, len(Seen))), (switches, demand)


def test_where_starttls_is_never_tried_mail_leaves_in_clear_whatever_tls_would_have_shown(sender: Profile) -> None:
    for switches, tables in every_state(sender):
        assert (tables.outcome[Demand.CLEAR, Seen.NOT_OFFERED :] == Outcome.DELIVER_CLEAR).all() or (
            Demand.CLEAR not in tables.demands
        ), switches


def test_all_mail_of_a_domain_is_bounced_where_dns_has_no_host_for_it_and_nowhere_else(sender: Profile) -> None:
    for switches, tables in every_state(sender):
        everything = tables.outcome[list(tables.demands)] == Outcome.BOUNCE_ALL
        assert everything[:, Seen.DNS_PERMANENT].all(), switches
        assert everything.sum() == 2 * len(tables.demands), switches


def test_records_and_policies_are_asked_by_their_own_rules_and_no_name_where_no_certificate_counts(
    sender: Profile,
) -> None:
    own = {Demand.DANE: NameRule.TLSA, Demand.MTA_STS: NameRule.MTA_STS, Demand.CLEAR: NameRule.NONE}
    own |= dict.fromkeys(NOT_USED, NameRule.NONE)
    for switches, tables in every_state(sender):
        for demand in tables.demands:
            rules = set(tables.rule[tables.demand == demand].tolist())
            assert rules == {own[demand]} if demand in own else NameRule.TLSA not in rules, (switches, demand)


def test_mail_is_held_for_what_the_receiver_publishes_and_not_for_something_else(sender: Profile) -> None:
    without_dane = [Dane.NONE, Dane.UNUSABLE, Dane.INSECURE]
    for switches, tables in every_state(sender):
        for demand, places in (
            (Demand.HOLD_BOGUS, {Dane.BOGUS}),
            (Demand.HOLD_NO_DANE, without_dane),
            (Demand.BOUNCE_NO_DANE, without_dane),
        ):
            assert {*np.argwhere(tables.demand == demand)[:, 2].tolist()} <= {*places}, (switches, demand)
        unlisted = np.argwhere(tables.demand == Demand.HOLD_UNLISTED)[:, 3:]
        assert {*map(tuple, unlisted.tolist())} <= {(MtaSts.ENFORCE, 0)}, switches


def test_beside_dane_and_policies_a_setting_asks_for_its_own_name_or_none(sender: Profile) -> None:
    for switches, tables in every_state(sender):
        own = np.isin(tables.demand, (Demand.DANE, Demand.MTA_STS), invert=True)
        for setting in sender.settings:
            rules = set(tables.rule[setting][own[setting]].tolist())
            assert rules <= {tables.plain(setting)[1], NameRule.NONE}, (switches, setting)


def test_a_good_certificate_counts_as_verified_where_one_is_asked_for(sender: Profile) -> None:
    for switches, tables in every_state(sender):
        for demand in {Demand.VERIFY, Demand.DANE, Demand.MTA_STS, Demand.VERIFY_OR_BOUNCE} & set(tables.demands):
            assert (tables.outcome[demand, Seen.VERIFIED] == Outcome.DELIVER_VERIFIED).all(), (switches, demand)


def test_every_unsettled_cell_is_changed_by_its_switches(sender: Profile) -> None:
    start = sender.tables().outcome
    for seen, demand, names in sender.unsettled():
        for name in names:
            values = list(sender.switches[name].outcomes)[1:]
            changed = [sender.tables({name: value}).outcome[demand, seen] for value in values]
            assert any((cell != start[demand, seen]).any() for cell in changed), (seen, demand, name)


def test_every_value_of_every_switch_changes_something(sender: Profile) -> None:
    for name, switch in sender.switches.items():
        hashes = {sender.tables({name: value}).hash for value in switch.outcomes}
        assert len(hashes) == len(switch.outcomes) > 1, name
        assert switch.about, name


def test_attempts_rise_and_end_with_the_lifetime(sender: Profile) -> None:
    if sender.queueing is None:
        assert sender.key == "esa"
        return
    times = sender.queueing.attempt_times_s()
    assert times[0] == 0
    assert (np.diff(times) > 0).all()
    ended_by_tries = sender.queueing.max_retries is not None and len(times) == sender.queueing.max_retries + 1
    assert ended_by_tries or times[-2] < sender.queueing.lifetime_s <= times[-1]
    assert sender.queueing.source


def test_cells_of_aged_messages_need_a_rule_that_says_which_are_aged() -> None:
    by_age, by_failure = profile("postfix"), profile("stalwart")
    for sender, never in ((by_age, {"aged_after_s": None}), (by_failure, {"aged_after_tls_failure": False})):
        with pytest.raises(PolicyError, match=f"^{sender.key}: aged = '[0-9]+ cells'; allowed: none without an age$"):
            replace(sender, **never)
        assert replace(sender, **never, aged={}).aged == {}


def test_the_nearest_of_a_setting_that_requires_tls_requires_it(sender: Profile) -> None:
    assert set(sender.nearest) == set(Setting)
    for _, tables in every_state(sender):
        for setting in Setting:
            nearest = sender.nearest[setting]
            assert nearest in sender.settings
            if setting in REQUIRED:
                assert tables.plain(nearest)[0] in STRICT


def test_its_demands_are_read_back_as_they_are_printed(sender: Profile) -> None:
    for switches, tables in every_state(sender):
        text = demands_text(tables.demand, tables.rule, sender.settings)
        demand, rule = read_demands(text, sender.settings)
        assert (demand == tables.demand).all(), switches
        assert (rule == tables.rule).all(), switches
