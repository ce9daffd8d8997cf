"""DANE and MTA-STS of the destinations: quotas met, draws that move nothing else, the user's own columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from sim.errors import PopulationError
from sim.terms import Chain, Dane, MtaSts
from sim.world.account import _PARTS
from sim.world.figures import load
from sim.world.population import Population

PRESETS = Population.presets()
COLUMNS = {"domains": ["mta_sts"], "routes": ["dane", "sts_listed"]}
#: Every state of DANE and MTA-STS occurs.
RICH: dict[str, Any] = {"dane": 0.3, "dnssec": 0.5, "dane_hosted": 0.5, "dane_broken_hosted": 0.2, "mta_sts": 0.2}


def dane(p: Population) -> NDArray[np.int64]:
    """One state a domain: all its MX hosts are alike."""
    states = p.routes.groupby("domain")["dane"]
    least = states.min().to_numpy(dtype=np.int64)
    assert (least == states.max().to_numpy()).all()
    return least


def mta_sts(p: Population) -> NDArray[np.int64]:
    return p.domains["mta_sts"].to_numpy(dtype=np.int64)


def provider(p: Population) -> NDArray[np.object_]:
    return p.domains["provider"].to_numpy(dtype=object)


def figures(p: Population) -> dict[str, dict[str, Any]]:
    """The rows of the account but those that count under several weightings."""
    rows = p.account[p.account["role"] != "view"].to_dict("records")
    return {row["parameter"]: {str(k): v for k, v in row.items()} for row in rows}


def off(p: Population, parameters: list[str]) -> list[float]:
    """How far each figure is from what was drawn, where it can be."""
    rows = [figures(p)[parameter] for parameter in parameters]
    return [abs(row["achieved"] - row["value"]) for row in rows if not np.isnan(row["achieved"])]


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_shares_are_met_to_one_domain(preset: str, seed: int) -> None:
    p = Population.preset(preset, seed=seed)
    assert max(off(p, ["dane", "dnssec", "mta_sts"])) < 1.01 / 5_000
    # Shares of few domains are met to one of these; where they are not, the account says so.
    assert not any("not reached" in str(figures(p)[part]["note"]) for part in _PARTS)


def test_shares_of_shares_are_met_where_there_are_many() -> None:
    broken = {**RICH, "dane_broken_own_mail": 0.4, "dane_broken_own_both": 0.33}
    p = Population.preset("government-nl", domains=20_000, **broken)
    # The smallest parts hold some 1,200 domains; a hoster of many is the last unit of no class.
    assert len(off(p, list(_PARTS))) == len(_PARTS)
    assert max(off(p, list(_PARTS))) < 0.005


def test_the_states_of_2020s_web_are_the_published_counts() -> None:
    p = Population.preset("2020s-web")
    assert (dane(p) == Dane.USABLE_MATCH).sum() == pytest.approx(5_000 * 564 / 65_244, abs=1)
    assert (mta_sts(p) == MtaSts.ENFORCE).sum() == pytest.approx(5_000 * 415 / 65_244, abs=1)
    assert p.domains["domain"].tolist()[:3] == [f"{name}-mail.example" for name in ("google", "microsoft", "yahoo")]
    assert mta_sts(p)[:3].tolist() == [MtaSts.ENFORCE, MtaSts.ENFORCE, MtaSts.TESTING]
    assert dane(p)[:3].tolist() == [Dane.NONE, Dane.USABLE_MATCH, Dane.NONE]


@pytest.mark.parametrize("preset", ["alexa-2015", "facebook-2014-05", "government-nl"])
def test_no_policy_before_there_was_one(preset: str) -> None:
    p = Population.preset(preset)
    assert (mta_sts(p) == MtaSts.NONE).all()
    assert p.routes["sts_listed"].all()


def test_half_of_the_dutch_government_has_dane_that_validates() -> None:
    states = dane(Population.preset("government-nl"))
    assert (states == Dane.USABLE_MATCH).sum() == 2_500
    assert set(states.tolist()) == {Dane.NONE, Dane.INSECURE, Dane.USABLE_MATCH}


def test_own_run_dane_is_broken_far_more_often() -> None:
    p = Population.preset("enterprise-partners")
    states = dane(p)
    shown = states[(provider(p) == "own") & (states != Dane.NONE)]
    # 0.40 of two fifths and 0.33 of three fifths of the own-run ones: 0.359.
    assert (shown != Dane.USABLE_MATCH).mean() == pytest.approx(0.359, abs=0.003)
    assert set(states.tolist()) == set(Dane) - {Dane.USABLE_UNSEEN}


def test_a_hoster_publishes_for_all_it_hosts_or_for_none() -> None:
    p = Population.preset("enterprise-partners", **RICH)
    hosted = p.routes[(provider(p) == "hoster")[p.routes["domain"].to_numpy()]]
    seen = [set(group["dane"].tolist()) - {int(Dane.INSECURE)} for _, group in hosted.groupby("host")]
    assert max(map(len, seen)) == 1
    assert {int(Dane.NONE)} in seen
    assert {int(Dane.USABLE_MATCH)} in seen


def test_dane_and_policies_stand_only_where_starttls_is_offered() -> None:
    p = Population.preset("alexa-2015", **{**RICH, "dane_hosted": 0.0})
    offered = (p.backends.groupby("host")["not_offered_rate"].min() < 1).to_numpy()
    first = offered[p.routes.drop_duplicates("domain")["host"].to_numpy()]
    assert first[(dane(p) > Dane.NONE) | (mta_sts(p) > MtaSts.NONE)].all()
    assert not first.all()


def test_publishers_of_a_policy_keep_their_certificates() -> None:
    p = Population.preset("enterprise-partners", domains=20_000, mta_sts_unfetched=0.0)
    first = p.routes.drop_duplicates("domain")["host"]
    shown = p.backends.drop_duplicates("host").iloc[first].reset_index(drop=True)
    strict = ((shown["chain"] == Chain.TRUSTED) & shown["san_mx"]).to_numpy()
    publishes, own = mta_sts(p) > MtaSts.NONE, provider(p) == "own"
    assert publishes.sum() == 1_200
    assert 1 - strict[publishes & own].mean() == pytest.approx(0.0422, abs=0.002)
    assert 1 - strict[publishes & ~own].mean() == pytest.approx(0.0037, abs=0.002)


@pytest.mark.parametrize("changes", [RICH, {"dane": 0.0, "mta_sts": 0.0}])
def test_no_other_column_moves(changes: dict[str, Any]) -> None:
    one, other = Population.preset("2020s-web", domains=800), Population.preset("2020s-web", domains=800, **changes)
    assert one.hash != other.hash
    for frame in ("domains", "hosts", "backends", "routes"):
        kept = [c for c in getattr(one, frame) if c not in COLUMNS.get(frame, [])]
        pd.testing.assert_frame_equal(getattr(one, frame)[kept], getattr(other, frame)[kept])


def test_more_dane_or_more_policies_take_nobody_s_away() -> None:
    few, many = (
        Population.preset("alexa-2015", dane=share, dnssec=0.5, dane_broken_own_mail=0.0, dane_broken_own_both=0.0)
        for share in (0.05, 0.2)
    )
    assert (dane(few) <= dane(many)).all()
    few, many = (
        Population.preset("2020s-web", mta_sts=share, mta_sts_enforce=1.0, mta_sts_invalid_own=0.0)
        for share in (0.05, 0.2)
    )
    assert (mta_sts(few) <= mta_sts(many)).all()


def test_a_draw_belongs_to_the_seed() -> None:
    states = [dane(Population.preset("government-nl", domains=400, seed=seed)).tolist() for seed in (1, 1, 2)]
    assert states[0] == states[1] != states[2]


def test_what_leaves_no_room_is_said() -> None:
    row = figures(Population.preset("2020s-web", domains=20))["mta_sts"]
    assert row["achieved"] == pytest.approx(4 / 20)
    assert "not reached" in row["note"]


def test_checks_of_the_new_presets() -> None:
    partners = {name: row["achieved"] for name, row in figures(Population.preset("enterprise-partners")).items()}
    assert partners["check_own_run"] == pytest.approx(0.326, abs=0.001)
    assert partners["check_own_invalid"] == pytest.approx(0.0422, abs=0.004)
    # Published of domains with MTA-STS: 0.0037 have no valid MX host, 0.010 a bad one; an operator's hosts are alike.
    assert partners["check_hosted_invalid"] == pytest.approx(0.010, abs=0.002)
    assert partners["check_no_standard"] > 0.325
    dutch = figures(Population.preset("government-nl"))
    assert dutch["starttls"]["achieved"] == pytest.approx(537 / 548, abs=0.001)
    assert dutch["check_tls_1_2"]["achieved"] > dutch["check_tls_1_2"]["value"]


def test_one_gateway_defers_more_mail_unless_the_caller_says_otherwise() -> None:
    p = Population.preset("enterprise-partners")
    rates, gateway = p.domains["first_4yz_rate"].to_numpy(), provider(p) == "gateway-two"
    assert (set(rates[gateway].tolist()), set(rates[~gateway].tolist())) == ({0.1112}, {0.02})
    assert set(Population.preset("enterprise-partners", first_4yz_rate=0.0).domains["first_4yz_rate"]) == {0.0}


def test_own_run_partners_often_name_their_own_domain() -> None:
    p = Population.preset("enterprise-partners")
    first = p.routes.drop_duplicates("domain")["san_domain"].to_numpy(dtype=bool)
    own = provider(p) == "own"
    assert not first[~own].any()
    assert first[own].mean() == pytest.approx(0.5, abs=0.03)


def test_named_types_of_a_preset_without_consumers_are_known_in_a_list(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("domain,messages\ngmail.com,10\nstad.nl,5\n")
    p = Population.read_csv(path, preset="government-nl")
    assert (provider(p)[0], mta_sts(p)[0]) == ("google-mail", MtaSts.ENFORCE)
    assert all(provider.rank is None for provider in load("government-nl").providers)


def test_a_list_may_state_them(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(
        "domain,messages,MTA_STS,dane,sts_listed,owner\n"
        "a.example,50,enforce,usable-mismatch,no,me\n"
        "b.example,40, Testing ,USABLE_MATCH,True,me\n"
        "c.example,30,none,bogus,,me\n"
        "d.example,20,,,1,me\n"
    )
    p = Population.read_csv(path, mta_sts=0.0, dane=0.0)
    assert mta_sts(p).tolist() == [MtaSts.ENFORCE, MtaSts.TESTING, MtaSts.NONE, MtaSts.NONE]
    assert dane(p).tolist() == [3, 2, 6, 0]
    assert p.routes.groupby("domain")["sts_listed"].max().tolist() == [False, True, True, True]
    assert dane(p.redrawn(9)).tolist() == [3, 2, 6, 0]
    account = figures(p)
    assert [account[f"column {c}"]["value"] for c in ("dane", "mta_sts", "sts_listed")] == [3, 3, 3]
    assert account["ignored columns"]["note"] == "not used: owner"
    assert account["mta_sts"]["achieved"] == 0.5


def test_an_empty_column_changes_nothing(tmp_path: Path) -> None:
    texts = ["domain,messages\n" + "".join(f"d{i}.example,{i}\n" for i in range(1, 300))]
    texts.append("domain,messages,dane,mta_sts\n" + "".join(f"d{i}.example,{i},,\n" for i in range(1, 300)))
    hashes = []
    for text in texts:
        (tmp_path / "mine.csv").write_text(text)
        hashes.append(Population.read_csv(tmp_path / "mine.csv", **RICH).hash)
    assert hashes[0] == hashes[1]


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        (
            "dane",
            "usable-mach",
            r"csv:2: dane = 'usable-mach'; allowed: none, insecure, .*Did you mean 'usable-match'\?",
        ),
        (
            "mta_sts",
            "enforced",
            r"csv:2: mta_sts = 'enforced'; allowed: none, testing, enforce. Did you mean 'enforce'\?",
        ),
        ("mta_sts", "2", "csv:2: mta_sts = '2'; allowed: none"),
        ("sts_listed", "yess", r"csv:2: sts_listed = 'yess'; allowed: yes, no. Did you mean 'yes'\?"),
    ],
)
def test_errors_of_a_list_name_line_field_and_guess(tmp_path: Path, column: str, value: str, message: str) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(f"domain,messages,{column}\na.example,1,{value}\n")
    with pytest.raises(PopulationError, match=message):
        Population.read_csv(path)


def test_a_column_given_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("domain,messages,dane,dane\na.example,1,none,none\n")
    with pytest.raises(PopulationError, match="csv:1: column = 'dane'; allowed: each once"):
        Population.read_csv(path)


def test_custom_peers_have_none_unless_told_and_spell_their_codes() -> None:
    host = {"host": "mx", "dane": "usable-mismatch", "sts_listed": False}
    p = Population.custom([{"domain": "a.example", "mta_sts": "enforce", "hosts": [host]}, {"domain": "b.example"}])
    assert p.domains["mta_sts"].tolist() == [MtaSts.ENFORCE, MtaSts.NONE]
    assert p.routes["dane"].tolist() == [Dane.USABLE_MISMATCH, Dane.NONE]
    assert p.routes["sts_listed"].tolist() == [False, True]
    with pytest.raises(PopulationError, match=r"dane = 'usable'; allowed: none, .*Did you mean"):
        Population.custom([{"domain": "a.example", "hosts": [{"host": "mx", "dane": "usable"}]}])
    with pytest.raises(PopulationError, match=r"routes.dane\[0\] = 7"):
        p.with_(routes={"dane": 7})
