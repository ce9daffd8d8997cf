"""The same day through any sender: each study names the sender's own settings and keeps its promises."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from sim.cli.options import sent_by
from sim.delivery.simulate import simulate
from sim.errors import PolicyError, ScenarioError
from sim.formats.scenario_file import parse_scenario
from sim.policy.decide import never_clear
from sim.policy.destinations import DestinationControls, Entry
from sim.policy.profiles import SENDERS, profile
from sim.policy.profiles.esa import Switches
from sim.results.labels import GATEWAY_SETTINGS
from sim.scenario import Scenario
from sim.studies.capacity import capacity
from sim.studies.modes import ModesResult, cases_of, modes
from sim.studies.whatif import whatif
from sim.terms import Setting
from sim.world.population import Population
from sim.world.workload import Workload

OTHERS = [key for key in SENDERS if key != "esa"]
MAIL = "[population]\ndomains = 20\n[workload]\nmessages = 40\n"


def of(sender: str, **more: object) -> Scenario:
    policy = DestinationControls(
        default=Entry(domain="DEFAULT", tls=Setting.PREFERRED),
        entries=(Entry(domain="google-mail.example", tls=Setting.REQUIRED_VERIFY_HOSTED),),
    )
    population = Population.preset("2020s-web", domains=40)
    return Scenario(population=population, policy=policy, workload=Workload().total(60, 1), sender=sender, **more)  # type: ignore[arg-type]


@cache
def postfix_modes() -> ModesResult:
    return modes(of("postfix"), replications=2, jobs=1)


def test_modes_has_a_row_for_each_of_the_senders_own_settings() -> None:
    names = [level.label for level in profile("postfix").settings]
    assert [case.setting.label for case in cases_of(of("postfix"))] == names
    summary = postfix_modes().summary().set_index("setting")
    assert list(summary.index) == names
    assert postfix_modes().expected()["setting"].drop_duplicates().tolist() == names


def test_settings_that_never_send_in_clear_do_not_and_the_title_says_what_they_cost() -> None:
    clear = postfix_modes().summary().set_index("setting")["in_clear_share"]
    known = profile("postfix")
    strict = [level.label for level in known.settings if never_clear(known.tables(), level)]
    assert strict == ["encrypt", "fingerprint", "verify", "secure", "dane-only"]
    assert (clear[strict] == 0).all()
    assert clear["none"] > 0.9
    assert postfix_modes().title().startswith("encrypt keeps all mail out of the clear and bounces ")
    assert " under none; " in postfix_modes().title()


def test_no_setting_of_the_gateway_is_asked_of_another_senders_mail() -> None:
    assert not set(postfix_modes().summary()["setting"]) & set(GATEWAY_SETTINGS)


@pytest.mark.parametrize("sender", OTHERS)
def test_every_sender_runs_the_day_and_names_its_settings(sender: str) -> None:
    scenario = of(sender)
    result = simulate(scenario, records=True)
    nearest = scenario.profile.nearest
    wanted = {nearest[Setting.PREFERRED].label, nearest[Setting.REQUIRED_VERIFY_HOSTED].label}
    assert set(result.by_setting()["setting"]) == wanted == set(result.messages["setting"])
    assert result.injected == result.delivered + result.bounced > 0
    strict = result.messages[result.messages["setting"] == nearest[Setting.REQUIRED_VERIFY_HOSTED].label]
    assert not (strict["fate"] == "in clear").any()


def test_a_change_of_sender_is_a_what_if_message_by_message() -> None:
    result = whatif(of("esa"), sender="exim", replications=1, jobs=1)
    assert result.sentence().startswith("Exim as the sender in place of Cisco ESA ")
    entries = result.by_entry()
    assert set(entries["setting_before"]) == {"Preferred", "Required - Verify Hosted Domains"}
    assert set(entries["setting_after"]) == {s.label for s in (of("exim").own_setting(Setting(c)) for c in (1, 5))}
    assert result.notices().set_index("channel").messages["TLS alert"] == 0


def test_switches_of_the_old_sender_do_not_go_with_the_new_one() -> None:
    scenario = of("postfix", sender_switches={"mta_sts": True}, sender_setting="dane")
    after = whatif(scenario, sender="haraka", replications=1, jobs=1).after
    assert (after.sender, dict(after.sender_switches), after.sender_setting) == ("haraka", {}, None)


def test_capacity_seeks_the_limit_of_any_sender() -> None:
    result = capacity(of("postfix"), replications=1, jobs=1)
    assert result.search is not None
    assert result.search.target.policy_limit == 20
    assert result.meta["sender"] == "postfix"


def test_a_scenario_file_names_a_sender_its_setting_and_its_options() -> None:
    text = f'sender = "postfix"\nsender_setting = "dane-only"\nsender_switches = {{ mta_sts = true }}\n{MAIL}'
    scenario = parse_scenario(text, source="s.toml").scenario
    assert (scenario.sender, scenario.sender_setting) == ("postfix", "dane_only")
    assert scenario.sender_switches == {"mta_sts": True}
    assert scenario.own_setting(Setting.NO).label == "dane-only"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('sender = "postfx"', "sender = 'postfx'; allowed: esa, postfix, .*Did you mean 'postfix'"),
        ('sender = "postfix"\nsender_setting = "encrpyt"', r"sender_setting \(Postfix\) = 'encrpyt'; .*'encrypt'"),
        ('sender = "postfix"\nsender_switches = { mta_st = true }', "mta_st.*'mta_sts'"),
        ('sender = "postfix"\nsender_switches = { mta_sts = "yes" }', r"s.toml:2: \[sender_switches\] mta_sts = 'yes'"),
        ('sender_setting = "may"', "sender_setting = 'may'; allowed: none: the settings of Cisco ESA"),
    ],
)
def test_a_wrong_sender_setting_or_switch_is_told(line: str, told: str) -> None:
    with pytest.raises((ScenarioError, PolicyError), match=told):
        parse_scenario(f"{line}\n{MAIL}", source="s.toml")


def test_what_another_sender_would_not_use_is_refused() -> None:
    with pytest.raises(ScenarioError, match="switches = 'given'; allowed: none: the gateway's; those of Postfix are"):
        of("postfix", switches=Switches(mta_sts=True))
    with pytest.raises(ScenarioError, match=r"set = 'DEFAULT'; allowed: none: sender_setting \(encrypt\)"):
        whatif(of("postfix", sender_setting="encrypt"), set={"DEFAULT": "no"}, replications=1, jobs=1)
    with pytest.raises(ScenarioError, match="--sender = 'exim'; allowed: beside --sender-setting, since"):
        sent_by(parse_scenario(f'sender = "postfix"\nsender_setting = "may"\n{MAIL}'), "exim")
    of_file = parse_scenario(f'sender = "postfix"\nsender_setting = "may"\n{MAIL}')
    assert sent_by(of_file, "exim", every_setting=True).scenario.sender_setting is None
    file = sent_by(parse_scenario(f"[switches]\nmta_sts = true\n{MAIL}"), "exim", "default")
    assert (file.scenario.sender, file.scenario.sender_setting) == ("exim", "default")
    assert file.scenario.switches == Switches()


def test_a_setting_of_its_own_holds_for_every_destination() -> None:
    scenario = replace(of("postfix"), sender_setting="encrypt")
    assert simulate(scenario).by_setting()["setting"].tolist() == ["encrypt"]
