"""How a setting is typed: a sender's own words, the gateway's, and those of the gateway's file."""

from __future__ import annotations

import pytest

from sim.errors import PolicyError
from sim.policy.profiles import SENDERS, profile
from sim.policy.spellings import own_words, sender_setting, setting_of
from sim.terms import Setting

#: What stands in the gateway's file.
IN_ITS_FILE = {
    "off": Setting.NO,
    "on": Setting.PREFERRED,
    "require": Setting.REQUIRED,
    "on_verify": Setting.PREFERRED_VERIFY,
    "require_verify": Setting.REQUIRED_VERIFY,
    "require_verify_hosted": Setting.REQUIRED_VERIFY_HOSTED,
}


@pytest.mark.parametrize("sender", SENDERS)
def test_settings_are_spelled_as_their_documents_do_or_as_the_gateway_does(sender: str) -> None:
    known = profile(sender)
    for setting, word in zip(known.settings, own_words(known), strict=True):
        for spelling in (setting, setting.label, setting.key, word, setting.label.upper()):
            assert sender_setting("--setting", spelling, known) is setting
    own = {s.label.lower() for s in known.settings} | {s.key for s in known.settings}
    for gateways in Setting:
        assert sender_setting("--setting", gateways, known) is known.nearest[gateways]
        for spelling in (gateways.key, gateways.label):
            if not {gateways.key, gateways.label.lower(), spelling} & own:
                assert sender_setting("--setting", spelling, known) is known.nearest[gateways]
    for word, gateways in IN_ITS_FILE.items():
        if word not in own:
            assert sender_setting("--setting", word, known) is known.nearest[gateways]


def test_own_words_are_short_and_need_no_quotes() -> None:
    assert own_words(profile("esa")) == [setting.key for setting in Setting]
    assert own_words(profile("postfix"))[-2:] == ["dane", "dane-only"]
    assert own_words(profile("opensmtpd")) == ["default", "tls_no_verify", "tls", "smtp+notls"]
    assert own_words(profile("kumomta"))[0] == "disabled"


def test_marks_around_a_word_do_not_matter() -> None:
    assert setting_of("*.gov", " (Required - Verify) ") is Setting.REQUIRED_VERIFY
    assert sender_setting("--setting", "- dane only -", profile("postfix")).label == "dane-only"


@pytest.mark.parametrize("word", ["default", "inherit", "dan-only", ""])
def test_what_is_no_setting_of_a_sender_is_told_with_its_own_words(word: str) -> None:
    with pytest.raises(PolicyError, match=f"^--setting = '{word}'; allowed: none, may, .*, dane, dane-only"):
        sender_setting("--setting", word, profile("postfix"))
