"""What each setting of each sender demands and which name it asks for, of a receiver that publishes nothing."""

from __future__ import annotations

import pytest

from sim.policy.profiles import SENDERS, profile
from sim.policy.text_tables import split_table

PAGE = """
    sender           | setting                                  | demand                    | name rule
    esa              | No                                       | clear                     | none
    esa              | Preferred                                | opportunistic             | none
    esa              | Required                                 | encrypt                   | none
    esa              | Preferred - Verify                       | opportunistic-verify      | verify
    esa              | Required - Verify                        | verify                    | verify
    esa              | Required - Verify Hosted Domains         | verify                    | hosted
    postfix          | none                                     | clear                     | none
    postfix          | may                                      | opportunistic             | none
    postfix          | encrypt                                  | encrypt                   | none
    postfix          | fingerprint                              | verify                    | fingerprint
    postfix          | verify                                   | verify                    | hostname
    postfix          | secure                                   | verify                    | nexthop, dot-nexthop
    postfix          | dane                                     | opportunistic             | none
    postfix          | dane-only                                | hold: no dane             | none
    exim             | hosts_avoid_tls                          | clear                     | none
    exim             | default                                  | opportunistic             | hostname, wide wildcards do not count
    exim             | tls_tempfail_tryclear off                | opportunistic-no-fallback | hostname, wide wildcards do not count
    exim             | hosts_require_tls                        | encrypt                   | hostname, wide wildcards do not count
    exim             | tls_verify_hosts                         | opportunistic-verify      | hostname, wide wildcards do not count
    exim             | hosts_require_tls + tls_verify_hosts     | verify                    | hostname, wide wildcards do not count
    opensmtpd        | default                                  | opportunistic             | hostname, wide wildcards do not count
    opensmtpd        | tls no-verify                            | encrypt                   | hostname, wide wildcards do not count
    opensmtpd        | tls                                      | verify                    | hostname, wide wildcards do not count
    opensmtpd        | smtp+notls                               | clear                     | none
    exchange_server  | IgnoreSTARTTLS                           | clear                     | none
    exchange_server  | RequireTLS false                         | opportunistic             | none
    exchange_server  | EncryptionOnly                           | encrypt                   | none
    exchange_server  | CertificateValidation                    | verify                    | chain only
    exchange_server  | DomainValidation                         | verify                    | nexthop
    exchange_online  | null                                     | opportunistic             | none
    exchange_online  | EncryptionOnly                           | encrypt                   | none
    exchange_online  | CertificateValidation                    | verify                    | chain only
    exchange_online  | DomainValidation                         | verify                    | nexthop
    google_workspace | default                                  | opportunistic             | none
    google_workspace | secure transport                         | encrypt-or-bounce         | none
    google_workspace | secure transport + CA-signed + host name | verify-or-bounce          | hostname
    kumomta          | Disabled                                 | clear                     | none
    kumomta          | OpportunisticInsecure                    | opportunistic             | none
    kumomta          | Opportunistic                            | opportunistic-verify      | hostname
    kumomta          | RequiredInsecure                         | encrypt                   | none
    kumomta          | Required                                 | verify                    | hostname
    sendmail         | Try_TLS NO                               | clear                     | none
    sendmail         | none                                     | opportunistic-verify      | chain only
    sendmail         | ENCR                                     | encrypt                   | none
    sendmail         | PERM+ENCR                                | encrypt-or-bounce         | none
    sendmail         | VERIFY                                   | verify                    | chain only
    sendmail         | PERM+VERIFY                              | verify-or-bounce          | chain only
    haraka           | no_tls_hosts                             | clear                     | none
    haraka           | enable_tls                               | opportunistic             | none
    haraka           | force_tls_hosts                          | verify                    | hostname
    stalwart         | disable                                  | clear                     | none
    stalwart         | optional allow_invalid_certs             | opportunistic             | none
    stalwart         | optional                                 | opportunistic-verify      | mta-sts
    stalwart         | require allow_invalid_certs              | encrypt                   | none
    stalwart         | require                                  | verify                    | mta-sts
    halon            | disabled                                 | clear                     | none
    halon            | optional                                 | opportunistic             | none
    halon            | optional_verify                          | opportunistic-verify      | hostname
    halon            | require                                  | encrypt                   | none
    halon            | require_verify                           | verify                    | hostname
    momentum         | no                                       | clear                     | none
    momentum         | ifavailable                              | opportunistic             | none
    momentum         | ifavailable ca                           | opportunistic-verify      | chain only
    momentum         | ifavailable host                         | opportunistic-verify      | hosted
    momentum         | required                                 | encrypt                   | none
    momentum         | required ca                              | verify                    | chain only
    momentum         | required host                            | verify                    | hosted
    powermta         | no                                       | clear                     | none
    powermta         | use-starttls                             | opportunistic             | none
    powermta         | require-starttls                         | encrypt                   | none
    fortimail        | none                                     | clear                     | none
    fortimail        | preferred                                | opportunistic             | none
    fortimail        | encrypt                                  | encrypt                   | none
    fortimail        | encrypt fail                             | encrypt-or-bounce         | none
    fortimail        | secure                                   | verify                    | chain only
    fortimail        | secure fail                              | verify-or-bounce          | chain only
    proofpoint       | default                                  | opportunistic             | none
    proofpoint       | enforce only TLS                         | encrypt                   | none
    proofpoint       | enforce completely secure SMTP           | verify                    | nexthop
    mimecast         | Opportunistic                            | opportunistic             | none
    mimecast         | Enforced, Relaxed                        | encrypt                   | none
    mimecast         | Enforced, Strict                         | verify                    | chain only
"""  # noqa: E501

#: Where a switch gives a setting another demand or name.
SWITCHED = """
    sender    | switch                   | setting          | demand                    | name rule
    sendmail  | cn                       | VERIFY           | verify                    | hostname
    sendmail  | cn                       | PERM+VERIFY      | verify-or-bounce          | hostname
    momentum  | tls_verify_optional      | ifavailable      | opportunistic             | hosted
    momentum  | tls_verify_optional      | required         | encrypt                   | hosted
    momentum  | tls_ifavailable_fallback | ifavailable ca   | opportunistic-no-fallback | chain only
    momentum  | tls_ifavailable_fallback | ifavailable host | opportunistic-no-fallback | hosted
    fortimail | check_cert_subject       | secure           | verify                    | hostname
    fortimail | check_cert_subject       | secure fail      | verify-or-bounce          | hostname
"""


@pytest.mark.parametrize("sender", SENDERS)
def test_demand_and_name_rule_of_every_setting_are_those_of_the_page(sender: str) -> None:
    known = profile(sender)
    said = [row[1:] for row in split_table(PAGE)[1] if row[0] == sender]
    found = [[s.label, *(term.label for term in known.tables().plain(s))] for s in known.settings]
    assert found == said


@pytest.mark.parametrize("sender", ["sendmail", "momentum", "fortimail"])
def test_a_turned_switch_changes_the_rules_of_the_settings_it_is_about(sender: str) -> None:
    known = profile(sender)
    for _, switch, label, demand, rule in (row for row in split_table(SWITCHED)[1] if row[0] == sender):
        turned = known.tables({switch: list(known.switches[switch].outcomes)[1]})
        setting = next(s for s in known.settings if s.label == label)
        assert [term.label for term in turned.plain(setting)] == [demand, rule], (switch, label)
