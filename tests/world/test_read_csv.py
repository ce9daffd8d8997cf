from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.errors import PopulationError
from sim.world.destinations_csv import read_destinations
from sim.world.population import Population


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "destinations.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_a_list_of_destinations_becomes_a_population(tmp_path: Path) -> None:
    rows = "".join(f"shop-{i}.example,{i}\n" for i in range(1, 500))
    path = written(tmp_path, f"owner, Domain ,messages\nme,GMAIL.com.,5000\n{rows.replace('shop', 'x,shop')}")
    p = Population.read_csv(path, preset="alexa-2015", seed=3)
    assert p.name == p.redrawn(4).name == "destinations (peers as alexa-2015)"
    assert (p.seed, p.weighting, p.messages_are_counts) == (3, "domain", True)
    assert p.domains["domain"].iloc[0] == "gmail.com"
    assert p.domains["provider"].iloc[0] == "google-mail"
    assert p.domains["messages"].sum() == 5000 + 499 * 250
    account = p.account.set_index("parameter")
    assert account.loc["ignored columns", "value"] == 1
    assert account.loc["ignored columns", "note"] == "not used: owner"
    assert account.loc["starttls", "achieved"] == pytest.approx(0.8177, abs=0.003)


def test_figures_by_message_follow_the_users_own_mail(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    mail = np.sort(rng.pareto(1.0, 2_000) + 1)[::-1]
    path = written(tmp_path, "domain,messages\n" + "".join(f"d{i}.example,{m:.4f}\n" for i, m in enumerate(mail)))
    account = Population.read_csv(path, preset="facebook-2014-05").account.set_index("parameter")
    assert account.loc["starttls", "achieved"] == pytest.approx(0.58, abs=0.002)


def test_the_order_of_the_file_does_not_matter(tmp_path: Path) -> None:
    rows = [f"d{i}.example,{i % 7}\n" for i in range(60)]
    texts = ["domain,messages\n" + "".join(ordered) for ordered in (rows, rows[::-1])]
    hashes = [Population.read_csv(written(tmp_path, text)).hash for text in texts]
    assert hashes[0] == hashes[1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty; allowed: a header"),
        ("domain,messages\n", "no destinations"),
        ("domain,mesages\na.example,1\n", r"csv:1: column = 'messages'; is missing.*Did you mean 'mesages'"),
        ("a.example,1\n", "csv:1: column = 'domain'; is missing"),
        ("domain,domain,messages\na,b,1\n", "csv:1: column = 'domain'; allowed: each once"),
        ("domain,messages\na.example,1\nb.example,-2\n", "csv:3: messages = '-2'; allowed: a number, 0 or more"),
        ("domain,messages\na.example,many\n", "csv:2: messages = 'many'"),
        ("domain,messages\na.example,nan\n", "csv:2: messages = 'nan'"),
        ("domain,messages\na.example,inf\n", "csv:2: messages = 'inf'"),
        ("domain,messages\na.example,1\nA.Example,2\n", "csv:3: domain = 'a.example'; allowed: each once"),
        ("domain,messages\na.example\n", "csv:2: row = '1 cells'; allowed: 2 cells"),
        ("domain,messages\n,1\n", "csv:2: domain = ''"),
        ("domain,messages\nnot a domain,1\n", "csv:2: domain = 'not a domain'"),
        ("domain,messages\nm\u00fcller.example,1\n", "csv:2: domain = .*xn--"),
        ("domain,messages\na.example,0\n", "messages = 'all 0'"),
        ('domain,messages\n"a.example,1\n', "csv:2: no CSV"),
        (b"\x00\x01\x02", "csv:1: content = 'byte 0x00'; allowed: UTF-8 text"),
        ("domain;messages\na.example;1\n", "csv:1: separated by semicolons; allowed: commas"),
        ("domain\tmessages\na.example\t1\n", "csv:1: separated by tabs; allowed: commas"),
        (b"domain,messages\n\xff\xfe,1\n", "csv:2: content = 'byte 0xff'"),
    ],
)
def test_errors_name_file_and_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(PopulationError, match=message):
        Population.read_csv(written(tmp_path, text))


def test_a_missing_file_and_a_wrong_preset(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").touch()
    with pytest.raises(PopulationError, match=r"mime\.csv'; allowed: a file that exists. Did you mean 'mine\.csv'\?"):
        Population.read_csv(tmp_path / "mime.csv")
    with pytest.raises(PopulationError, match="Did you mean '2020s-web'"):
        Population.read_csv(written(tmp_path, "domain,messages\na.example,1\n"), preset="2020-web")


@given(
    st.one_of(
        st.binary(max_size=200),
        st.text(max_size=200).map(lambda t: ("domain,messages\n" + t).encode("utf-8", "ignore")),
    )
)
def test_rubbish_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = written(tmp_path_factory.getbasetemp(), content)
    with suppress(PopulationError):
        listed = read_destinations(path)
        assert len(listed.domains) == len(set(listed.domains)) > 0
