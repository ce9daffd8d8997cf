"""A scenario file is read as its manual says; every fault is one line with the line of the file."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.data import example
from sim.delivery.simulate import ENGINES
from sim.errors import SimError
from sim.formats.scenario_file import ScenarioFile, parse_scenario, read_scenario
from sim.formats.scenario_keys import SECTIONS, names_at, render
from sim.formats.toml_lines import key_lines, line_of
from sim.formats.trace_file import read_trace
from sim.policy.profiles.esa import Switches
from sim.scenario import SENDERS, DeliverySwitches
from sim.studies.replications import Plan, varied
from sim.terms import Setting, TlsVersion, Vary
from sim.timeline import EVENTS
from sim.world.shapes import Recipients, Sizes
from tests.repository.tree import ROOT

EXAMPLES = example("destinations.ini").parent
MANUAL = ROOT / "docs" / "scenario-file.md"
MAIL = "[population]\ndomains = 20\n[workload]\nmessages = 100\n"


def parsed(text: str, folder: Path = EXAMPLES) -> ScenarioFile:
    return parse_scenario(text, source="s.toml", folder=folder)


def complaint_of(text: str) -> str:
    with pytest.raises(SimError) as caught:
        parsed(text)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_shipped_example_is_what_it_says() -> None:
    file = read_scenario(EXAMPLES / "scenario.toml")
    scenario = file.scenario
    assert len(scenario.population.domains) == 5_000
    assert scenario.population.name == "2020s-web"
    assert scenario.days == 1
    assert scenario.until_s is None
    assert len(scenario.policy.entries) > 45
    assert "Short_Life" in scenario.policy.profiles
    assert scenario.workload.mean_days(1.0) * (scenario.workload.messages_per_day or 0) == pytest.approx(20_000)
    assert file.options() == {"seed": 1, "engine": "auto", "records": False}


def test_the_example_of_the_manual_is_read_as_it_says() -> None:
    text, events = re.findall(r"^```toml\n(.*?)^```$", MANUAL.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    file = parsed(f"{text}\n{events}")
    told = [(event.event, event.label, event.at_h, event.for_h) for event in file.scenario.timeline]
    assert told == [
        ("certificate-expires", "certificate expires mx1.microsoft-mail.example", 6, 36),
        ("outage", "outage microsoft-mail", 9, 4),
        ("policy", "a trial of Required", 10, 2),
    ]
    assert file.replications == 5
    assert file.vary == "chance and population"
    assert file.scenario.minimum_tls == TlsVersion.TLS_1_2
    assert file.scenario.switches == Switches(pv_after_220="fail")
    assert file.scenario.delivery == DeliverySwitches()
    assert isinstance(file.scenario.workload.size_bytes, Sizes)
    assert file.scenario.workload.size_bytes.median_bytes == 30_000
    assert len(file.scenario.policy.entries) > 45
    assert set(file.scenario.population.domains["dns_temporary_rate"]) == {0.002}


def test_the_tables_of_the_manual_are_those_of_the_reader() -> None:
    page = MANUAL.read_text(encoding="utf-8")
    assert render(page) == page, "run: python -m sim.formats.scenario_keys docs/scenario-file.md"
    assert set(re.findall(r"<!-- keys (\S+) -->", page)) == set(SECTIONS)


def test_a_file_says_what_varies_and_how_precise_it_shall_be() -> None:
    file = parsed(f'vary = "chance, population and evidence"\nprecision = 0.5\n{MAIL}')
    assert (file.vary, file.precision, file.replications) == ("chance, population and evidence", 0.5, None)
    assert SECTIONS["top"]["vary"].allowed == tuple(Vary.spellings())
    for label in SECTIONS["top"]["vary"].allowed:
        assert varied(label, file.scenario.population).label == label
    Plan(precision=file.precision, vary=varied(file.vary, file.scenario.population))


def test_keys_are_those_of_the_classes_they_set() -> None:
    assert list(SECTIONS["switches"]) == [f.name for f in fields(Switches)]
    assert list(SECTIONS["delivery"]) == [f.name for f in fields(DeliverySwitches)]
    assert SECTIONS["top"]["engine"].allowed == ENGINES
    assert SECTIONS["top"]["sender"].allowed == SENDERS
    assert {f"size_{f.name}" for f in fields(Sizes)} < set(SECTIONS["workload"])
    assert len(fields(Recipients)) == 2


def test_every_key_of_switches_and_delivery_reaches_the_scenario() -> None:
    other = {"new_mail_probes": "true", "tls_failure_next_mx": "false", "mta_sts": "true"}
    for section, kind, field in (("switches", Switches, "switches"), ("delivery", DeliverySwitches, "delivery")):
        for name, key in SECTIONS[section].items():
            value = other.get(name) or (f'"{key.allowed[-1]}"' if isinstance(key.allowed, tuple) else "7")
            made = getattr(parsed(f"{MAIL}[{section}]\n{name} = {value}\n").scenario, field)
            assert made != kind(), name


def test_what_is_not_said_is_the_default() -> None:
    file = parsed(MAIL)
    assert file == ScenarioFile(source="s.toml", scenario=file.scenario)
    assert file.scenario.policy.default.tls == Setting.NO
    assert file.scenario.policy.entries == ()
    assert file.scenario.switches == Switches()


def test_profiles_alone_change_the_shipped_default() -> None:
    file = parsed('[policy]\nbounce_profiles = "bounce_profiles.toml"\n' + MAIL)
    assert "Bulk_Fast" in file.scenario.policy.profiles


def test_hours_and_seconds_say_the_same() -> None:
    assert (
        parsed(f"until_h = 2\n{MAIL}").scenario.until_s == 7_200 == parsed(f"until_s = 7200\n{MAIL}").scenario.until_s
    )


def test_own_destinations_bring_their_own_mail(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("domain,messages\na.example,70\nb.example,30\n")
    file = parsed('[population]\ncsv = "mine.csv"\n', tmp_path)
    assert file.scenario.population.messages_are_counts
    assert file.scenario.workload.messages_per_day is None
    assert file.scenario.population.domains["domain"].tolist() == ["a.example", "b.example"]


def test_a_trace_replaces_the_stream(tmp_path: Path) -> None:
    (tmp_path / "mail.csv").write_text("time_s,domain,size_bytes,recipients,x\n3.5,google-mail.example,100,2,y\n\n")
    file = parsed('[population]\ndomains = 3\n[workload]\ntrace = "mail.csv"\n', tmp_path)
    assert file.scenario.workload.trace is not None
    assert file.scenario.workload.trace.to_dict("records") == [
        {"domain": "google-mail.example", "time_s": 3.5, "size_bytes": 100, "recipients": 2}
    ]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("domain,time_s\na,1\n", ":1: header = 'domain,time_s'; allowed: domain, time_s, size_bytes, recipients, each"),
        ("domain,time_s,size_bytes,recipients\na,1,2,0\n", ":2: recipients = '0'; allowed: a whole number, 1 or more"),
        ("domain,time_s,size_bytes,recipients\na,-1,2,1\n", ":2: time_s = '-1'; allowed: a number, 0 or more"),
        ("domain,time_s,size_bytes,recipients\n\na,x,2,1\n", ":3: time_s = 'x'"),
        ("domain,time_s,size_bytes,recipients\na,1,2.5,1\n", ":2: size_bytes = '2.5'; allowed: a whole number"),
        ("domain,time_s,size_bytes,recipients\na,1,2\n", ":2: row = '3 cells'; allowed: 4 cells"),
        ("domain,time_s,size_bytes,recipients\n,1,2,1\n", ":2: domain = ''"),
        ("domain,time_s,size_bytes,recipients\n", ":1: trace = 'no rows'"),
        ('domain,time_s,size_bytes,recipients\n"a,1,2,1\n', "no CSV"),
    ],
)
def test_a_wrong_trace_names_its_line(tmp_path: Path, content: str, told: str) -> None:
    path = tmp_path / "mail.csv"
    path.write_text(content)
    with pytest.raises(SimError, match=re.escape(told)):
        read_trace(path)


BAD = [
    ("dais = 1\n", "s.toml:1: unknown key = 'dais'; allowed: sender, sender_setting,", "Did you mean 'days'?"),
    ("\n[workload]\nmesages = 3\n", "s.toml:3: [workload] unknown key = 'mesages'", "Did you mean 'messages'?"),
    ("days = 1\n\n[polcy]\nfile = 'x'\n", "s.toml:3: unknown section = 'polcy'", "Did you mean 'policy'?"),
    ("policy = 3\n", "s.toml:1: policy = 3; allowed: a section, [policy]", ""),
    ("days = 'one'\n", "s.toml:1: days = 'one'; allowed: more than 0, up to 366", ""),
    ("days = 0\n", "s.toml:1: days = 0;", ""),
    ("days = nan\n", "s.toml:1: days = nan;", ""),
    ("seed = -1\n", "s.toml:1: seed = -1; allowed: a whole number, 0 or more", ""),
    ("seed = 1.5\n", "s.toml:1: seed = 1.5;", ""),
    ("records = 1\n", "s.toml:1: records = 1; allowed: true, false", ""),
    ("sender = 'exom'\n", "s.toml:1: sender = 'exom'; allowed: esa", "Did you mean 'exim'?"),
    ("minimum_tls = 'TLSv12'\n", "s.toml:1: minimum_tls = 'TLSv12'", "Did you mean 'TLSv1.2'?"),
    ("engine = 'simpy'\n", "s.toml:1: engine = 'simpy'; allowed: auto, reference", ""),
    ("vary = 'chance, evidence'\n", "s.toml:1: vary = 'chance, evidence'", "Did you mean 'chance and evidence'?"),
    ("precision = 0\n", "s.toml:1: precision = 0; allowed: more than 0, up to 50", ""),
    (f"replications = 5\nprecision = 1\n{MAIL}", "s.toml:2: precision = 1.0; allowed: not beside replications", ""),
    (f"until_h = 1\nuntil_s = 3600\n{MAIL}", "s.toml:2: until_s = 3600.0; allowed: once", ""),
    ("days = 1\ndays = 2\n", "s.toml:2: no TOML", ""),
    ("[workload\n", "s.toml:1: no TOML", ""),
    ("[policy]\nfile = 'destination.ini'\n", "s.toml:2: [policy] file = ", "Did you mean 'destinations.ini'?"),
    ("[policy]\nfile = 'destinations.ini'\nbounce_profiles = 'no.toml'\n", "s.toml:3: [policy] bounce_profiles = ", ""),
    ("[policy]\nfile = 'bounce_profiles.toml'\nstrict = true\n", "bounce_profiles.toml:", ""),
    ("[population]\npreset = '2020-web'\n", "s.toml:2: [population] preset = '2020-web'", "Did you mean '2020s-web'?"),
    ("[population]\ndomains = -1\n", "s.toml:2: [population] domains = -1; allowed: a whole number, 1 or more", ""),
    (
        "[population.figures]\nfrist_4yz_rate = 0.1\n",
        "s.toml:2: [population.figures] unknown key = 'frist_4yz_rate'",
        "Did you mean 'first_4yz_rate'?",
    ),
    ("[population.figures]\nfirst_4yz_rate = 2\n", "s.toml:2: [population.figures] first_4yz_rate = 2.0", ""),
    ("[population.figures]\nfirst_4yz_rate = 'x'\n", "s.toml:2: [population.figures] first_4yz_rate = 'x'", ""),
    ("[population]\nfigures = {first_4yz_rate = 2}\n", "s.toml:2: [population.figures] first_4yz_rate = 2.0", ""),
    ("[population]\ncsv = 'no.csv'\n", "s.toml:2: [population] csv = ", ""),
    ("[population]\ncsv = 'x.csv'\ndomains = 3\n", "s.toml:3: [population] domains = 3; allowed: not beside csv", ""),
    ("[workload]\nmessages = -5\n", "s.toml:2: [workload] messages = -5; allowed: more than 0", ""),
    ("days = 1\n", "s.toml:1: [workload] messages is missing; allowed: messages, messages_per_day or trace", ""),
    (
        "[workload]\nmessages = 5\nmessages_per_day = 5\n",
        "s.toml:3: [workload] messages_per_day = 5.0; allowed: not",
        "",
    ),
    (
        "[workload]\ntrace = 'x.csv'\nrecipients = 1\n",
        "s.toml:3: [workload] recipients = 1; allowed: not beside trace",
        "",
    ),
    ("[workload]\ntrace = 'x.csv'\n", "s.toml:2: [workload] trace = ", ""),
    ("[workload]\nmessages = 5\nhourly = [1, 2]\n", "s.toml:3: [workload] hourly = [1, 2]; allowed: 24 weights", ""),
    ("[workload]\nmessages = 5\nweekday = [0, 0, 0, 0, 0, 0, 0]\n", "s.toml:3: [workload] weekday = 'a sum of 0'", ""),
    ("[workload]\nmessages = 5\nweekday = [1, 1, 1, 1, 1, 1, -1]\n", "s.toml:3: [workload] weekday[6] = -1.0", ""),
    ("[workload]\nmessages = 5\nweekday = [1, 1, 1, 1, 1, 1, 'x']\n", "s.toml:3: [workload] weekday[6] = 'x'", ""),
    ("[workload]\nmessages = 5\nweekday = [0, 1, 1, 1, 1, 1, 1]\n", "s.toml:2: [workload] messages = 5.0", ""),
    (
        "[workload]\nmessages = 5\nsize_bytes = 1\nsize_sigma = 1\n",
        "s.toml:4: [workload] size_sigma = 1.0; allowed: not",
        "",
    ),
    ("[workload]\nmessages = 5\nsize_min_bytes = 5e9\n", "s.toml:3: [workload] size_min_bytes = 5000000000.0", ""),
    ("[workload]\nmessages = 5\nrecipients = 0\n", "s.toml:3: [workload] recipients = 0; allowed: 1..", ""),
    ("[switches]\npv_after_220 = 'maybe'\n", "s.toml:2: [switches] pv_after_220 = 'maybe'; allowed: clear, fail", ""),
    ("[switches]\ntls_failure_next_mx = 1\n", "s.toml:2: [switches] tls_failure_next_mx = 1; allowed: true, false", ""),
    ("[delivery]\nexpire = 'due'\n", "s.toml:2: [delivery] expire = 'due'", "Did you mean 'when_due'?"),
    ("timeline = 3\n", "s.toml:1: timeline = 3; allowed: tables, [[timeline]]", ""),
    ("\n[timeline]\nat_h = 3\n", "s.toml:2: timeline = {'at_h': 3}; allowed: tables, [[timeline]]", ""),
    ("timeline = [3]\n", "s.toml:1: [[timeline]] = 3; allowed: tables, [[timeline]]", ""),
    ("[delivery]\ndns_s = -1\n", "s.toml:2: [delivery] dns_s = -1; allowed: 0..86400 s", ""),
]


#: Second tables of a timeline, whose head is line 7.
BAD_EVENTS = [
    ("evnt = 'outage'\nat_h = 1\n", "8: [[timeline]] unknown key = 'evnt'; allowed: event,", "Did you mean 'event'?"),
    ("at_h = 1\nevent = 'outrage'\n", "9: [[timeline]] event = 'outrage'; allowed: outage,", "mean 'outage'?"),
    ("at_h = 1\n", "7: [[timeline]] event is missing; allowed: outage, certificate-expires", ""),
    ("event = 'outage'\ndomain = 'x'\n", "7: [[timeline]] at_h is missing; allowed: 0..9600 h", ""),
    ("event = 'outage'\nat_h = -1\ndomain = 'x'\n", "9: [[timeline]] at_h = -1; allowed: 0..9600 h", ""),
    ("event = 'outage'\nat_h = '9'\ndomain = 'x'\n", "9: [[timeline]] at_h = '9'; allowed: 0..9600 h", ""),
    ("event = 'outage'\nat_h = 1\nfor_h = 0\n", "10: [[timeline]] for_h = 0; allowed: more than 0", ""),
    ("event = 'outage'\nat_h = 1\n", "7: [[timeline]]: outage: whom it concerns = 'nobody'; allowed: one of", ""),
    ("event = 'outage'\nat_h = 1\nfactor = 2\ndomain = 'x'\n", "10: [[timeline]] factor = 2.0; allowed: nothing", ""),
    (
        "event = 'outage'\nat_h = 1\nprovider = 'google-mial'\n",
        "10: [[timeline]] provider = 'google-mial'",
        "Did you mean 'google-mail'?",
    ),
    (
        "event = 'outage'\nat_h = 1\nmx_host = 'mx1.google-mial.example'\n",
        "10: [[timeline]] mx_host = 'mx1.google-mial.example'",
        "Did you mean 'mx1.google-mail.example'?",
    ),
    (
        "event = 'load'\nat_h = 1\ndomain = 'gogle-mail.example'\nfactor = 2\n",
        "10: [[timeline]] domain = 'gogle-mail.example'",
        "Did you mean 'google-mail.example'?",
    ),
    ("event = 'load'\nat_h = 1\n", "7: [[timeline]] factor is missing; allowed: 0..1000 times the mail", ""),
    ("event = 'load'\nat_h = 1\nfactor = 1e9\n", "10: [[timeline]] factor = 1000000000.0; allowed: 0..1000", ""),
    ("event = 'load'\nat_h = 24\nfactor = 2\n", "9: [[timeline]] at_h = 24.0; allowed: below 24 h", ""),
    ("event = 'starttls-stripped'\nat_h = 1\nshare = 30\n", "10: [[timeline]] share = 30; allowed: 0..1", ""),
    (
        "event = 'starttls-stripped'\nat_h = 1\nshare = 0.3\ndomain = 'x'\n",
        "7: [[timeline]]: starttls-stripped: whom it concerns = 'domain and share'; allowed: one of",
        "",
    ),
    ("event = 'policy'\nat_h = 1\n", "7: [[timeline]] policy = 'nothing'; allowed: one of file, setting, set", ""),
    (
        "event = 'policy'\nat_h = 1\nfile = 'x.ini'\nsetting = 'no'\n",
        "7: [[timeline]] policy = 'file and setting'; allowed: one of file, setting",
        "",
    ),
    (
        "event = 'policy'\nat_h = 1\nset = {'.example' = 'requierd'}\n",
        "10: [[timeline]] set: .example = 'requierd'",
        "mean 'required'?",
    ),
    ("event = 'policy'\nat_h = 1\nsetting = 'requierd'\n", "10: [[timeline]] setting = 'requierd'", "mean 'required'?"),
    (
        "event = 'policy'\nat_h = 1\nfile = 'destination.ini'\n",
        "10: [[timeline]] file = ",
        "Did you mean 'destinations.ini'?",
    ),
    ("event = 'policy'\nat_h = 1\nfile = 'destinations.ini'\n", "7: [[timeline]]: policy: [", ""),
    ("event = 'policy'\nat_h = 1\nsetting = 'no'\n", "7: [[timeline]]: policy: no destination gets another", ""),
    ("event = 'outage'\nat_h = 1\nsetting = 'no'\n", "10: [[timeline]] setting = 'no'; allowed: only beside", ""),
    ("event = 'policy'\nat_h = 2\nsetting = 'required'\n", "9: [[timeline]] at_h = 2.0; allowed: another hour", ""),
]


@pytest.mark.parametrize(("event", "told", "guess"), BAD_EVENTS, ids=[str(i) for i in range(len(BAD_EVENTS))])
def test_a_fault_of_an_event_names_the_line_in_its_own_table(event: str, told: str, guess: str) -> None:
    before = "[population]\ndomains = 20\n"
    first = "[[timeline]]\nevent = 'policy'\nat_h = 2\nsetting = 'preferred'\n"
    line = complaint_of(f"{before}{first}[[timeline]]\n{event}[workload]\nmessages = 100\n")
    assert f"s.toml:{told}" in line
    assert guess in line


def test_every_key_of_an_event_reaches_the_scenario(tmp_path: Path) -> None:
    (tmp_path / "later.ini").write_text("[DEFAULT]\ntable_tls = require\n")
    tables = [
        "event = 'outage'\nat_h = 1\nfor_h = 2\nprovider = 'google-mail'\nlabel = 'gone'",
        "event = 'certificate-expires'\nat_h = 2\nmx_host = 'mx1.google-mail.example'",
        "event = 'starttls-stripped'\nat_h = 3\nshare = 0.25",
        "event = 'tls-turned-on'\nat_h = 4\ndomain = '.example'",
        "event = 'load'\nat_h = 5\nfactor = 2.5",
        "event = 'policy'\nat_h = 6\nfile = 'later.ini'",
        "event = 'policy'\nat_h = 7\nsetting = 'required_verify'",
        "event = 'policy'\nat_h = 8\nset = {'.example' = 'required', DEFAULT = 'preferred'}",
    ]
    text = MAIL + "".join(f"[[timeline]]\n{table}\n" for table in reversed(tables))
    timeline = parsed(text, tmp_path).scenario.timeline
    assert [event.event for event in timeline] == [*EVENTS, "policy", "policy"]
    assert [event.at_h for event in timeline] == [1, 2, 3, 4, 5, 6, 7, 8]
    outage, expiry, strip, on, load, by_file, by_setting, by_pattern = timeline
    assert (outage.for_h, outage.provider, outage.label) == (2, "google-mail", "gone")
    assert (expiry.mx_host, expiry.for_h) == ("mx1.google-mail.example", None)
    assert (strip.share, on.domain, load.factor) == (0.25, ".example", 2.5)
    assert by_file.policy is not None
    assert (by_file.policy.default.tls, by_file.label) == (Setting.REQUIRED, "policy later.ini")
    assert by_setting.policy is not None
    assert by_setting.policy.default.tls == Setting.REQUIRED_VERIFY
    assert by_setting.label == "Required - Verify everywhere"
    assert by_pattern.policy is not None
    assert [(e.domain, e.tls) for e in by_pattern.policy.entries] == [(".example", Setting.REQUIRED)]
    assert (by_pattern.policy.default.tls, by_pattern.label) == (
        Setting.PREFERRED,
        ".example required, DEFAULT preferred",
    )


def test_a_later_policy_is_read_with_the_profiles_and_as_strictly_as_the_first(tmp_path: Path) -> None:
    profiles = (EXAMPLES / "bounce_profiles.toml").read_text()
    (tmp_path / "p.toml").write_text(profiles)
    (tmp_path / "later.ini").write_text("[a.example]\nbounce_profile = Bulk_Fast\n[DEFAULT]\ntable_tls = require\n")
    later = "[[timeline]]\nevent = 'policy'\nat_h = 1\nfile = 'later.ini'\n"
    file = parsed(f"[policy]\nbounce_profiles = 'p.toml'\n{MAIL}{later}", tmp_path)
    [event] = file.scenario.timeline
    assert event.policy is not None
    assert event.policy.profile("Bulk_Fast") == file.scenario.policy.profile("Bulk_Fast")
    with pytest.raises(SimError, match=r"later.ini:3: \[DEFAULT\] ip_sort_pref: missing"):
        parsed(f"[policy]\nstrict = true\n{MAIL}{later}", tmp_path)


def test_the_shipped_outage_is_what_it_says() -> None:
    file = read_scenario(EXAMPLES / "outage.toml")
    [event] = file.scenario.timeline
    assert (event.event, event.provider, event.at_h, event.ends_h) == ("outage", "microsoft-mail", 9, 13)
    assert file.scenario.until_s == 86_400
    plain = read_scenario(EXAMPLES / "scenario.toml").scenario
    assert file.scenario.policy.hash == plain.policy.hash
    assert file.scenario.population.hash == plain.population.hash


@pytest.mark.parametrize(("text", "told", "guess"), BAD, ids=[str(i) for i in range(len(BAD))])
def test_a_fault_is_one_line_that_names_what_and_where(text: str, told: str, guess: str) -> None:
    line = complaint_of(text)
    assert told in line
    assert guess in line


def test_the_first_fault_is_raised_and_the_others_are_its_notes() -> None:
    with pytest.raises(SimError) as caught:
        parsed("dais = 1\nengine = 'x'\n[workload]\nmesages = 3\nrecipients = 0\n")
    assert str(caught.value).startswith("s.toml:1: ")
    assert [note.split(": ")[0] for note in caught.value.__notes__] == ["s.toml:2", "s.toml:4", "s.toml:5"]


def test_a_missing_file_and_rubbish_are_faults_of_one_line(tmp_path: Path) -> None:
    rubbish = tmp_path / "s.toml"
    rubbish.write_bytes(b"days = 1\n\x00\xff\xfe")
    for path, told in ((tmp_path / "no.toml", "a file that exists"), (rubbish, "s.toml:2: content")):
        with pytest.raises(SimError, match=told) as caught:
            read_scenario(path)
        assert "\n" not in str(caught.value)


def test_lines_of_keys_are_found_however_they_are_spelled() -> None:
    text = 'a.b = 1\n# x = 2\n[ "c" ]\n\nd = """\ne = 3\n"""\n f . g=4\nh = [\n  1,\n]\n[[i.j]]\nk = 5\n'
    lines = key_lines(text)
    assert lines == {("a",): 1, ("a", "b"): 1, ("c",): 3, ("c", "d"): 5, ("c", "f"): 8, ("c", "f", "g"): 8,
                     ("c", "h"): 9, ("i", "j"): 12, ("i", "j", 0): 12, ("i", "j", 0, "k"): 13}  # fmt: skip
    assert line_of(lines, ("c", "f", "z")) == 8
    assert line_of(lines, ("z",)) == 1
    assert line_of(lines, ("i", "j", 0, "z")) == 12
    assert line_of(key_lines("[[a]]\nb = 1\n\n[[a]]\nb = 1\n[[c]]\nb = 1\n"), ("a", 1, "b")) == 5


def test_every_section_is_offered_where_one_is_misspelled() -> None:
    assert {s for s in SECTIONS if s != "top"} < set(names_at(()))
    assert "figures" in names_at(("population",))
    assert all(get_args(key.kind) or isinstance(key.kind, type) for keys in SECTIONS.values() for key in keys.values())


WHOLE = """days = 1
minimum_tls = "TLSv1.2"
[population]
preset = "2020s-web"
domains = 7
[population.figures]
dns_temporary_rate = 0.002
[workload]
messages = 2_000
weekday = [1, 1, 1, 1, 1, 0.5, 0.5]
size_median_bytes = 30_000
[switches]
pv_after_220 = "fail"
[delivery]
idle_timeout_s = 5
[[timeline]]
event = "outage"
at_h = 1
provider = "google-mail"
[[timeline]]
event = "policy"
at_h = 2
setting = "required"
"""
VALUES = ["-1", "0", "1e300", "nan", "inf", "9" * 30, "'x'", "[]", "{}", "[[1]]", "true", "1979-05-27", "'\\u0000'"]


@given(st.data())
def test_whatever_a_value_is_it_is_taken_or_told(data: st.DataObject) -> None:
    """Accepted or our error, never another exception; scenario files are written by hand."""
    lines = WHOLE.splitlines()
    at = data.draw(st.integers(0, len(lines) - 1))
    change = data.draw(st.sampled_from(["value", "key", "drop", "twice", "cut"]))
    key, equals, _ = lines[at].partition("=")
    if change == "value" and equals:
        lines[at] = f"{key}= {data.draw(st.sampled_from(VALUES))}"
    elif change == "key":
        lines[at] = data.draw(st.text("abc.=[]\"' #\n", max_size=5)) + lines[at]
    elif change == "drop":
        del lines[at]
    elif change == "twice":
        lines.insert(at, lines[at])
    else:
        lines[at] = lines[at][: data.draw(st.integers(0, len(lines[at])))]
    told = ""
    try:
        assert len(parsed("\n".join(lines)).scenario.population.domains) in (7, 5_000)
    except SimError as fault:
        told = str(fault)
    assert told == "" or told.startswith("s.toml:")
    assert "\n" not in told
