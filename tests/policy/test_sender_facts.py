"""What each sender is as shipped, how it queues, and which of its settings stands for the gateway's: pages of facts.

The numbers are those of the reference pages; 20 connections stand where no source has a number.
"""

from __future__ import annotations

import pytest

from sim.policy.profiles import SENDERS, profile
from sim.policy.text_tables import split_table
from sim.terms import Setting

AS_SHIPPED = """
    sender           | as shipped       | DANE option   | minimum TLS | aged by                                         | switches
    esa              | No               | none          | -           | -                                               | pv_after_220=clear, starttls_5xx_required=queue, tls_failure_next_mx=true, mta_sts=false
    postfix          | may              | none          | -           | 300 s                                           | mta_sts=false (option)
    exim             | default          | opportunistic | TLSv1.0     | -                                               | dane_unusable=defer
    opensmtpd        | default          | none          | TLSv1.2     | -                                               | handshake_hangs=defer
    exchange_server  | RequireTLS false | none          | -           | -                                               | handshake_failed=defer
    exchange_online  | null             | opportunistic | -           | -                                               | handshake_failed=defer, dane_unusable_handshake=bounce, dane_absent=defer
    google_workspace | default          | none          | TLSv1.0     | -                                               | handshake_failed=clear, rule_next_host=false
    kumomta          | Opportunistic    | none          | -           | a TLS failure                                   | enable_mta_sts=true (option), opportunistic_tls_reconnect_on_failed_handshake=false (option), remember_broken_tls=false (option), peer_takes_new_ehlo=true
    sendmail         | none             | none          | -           | -                                               | tls_fallback_to_clear=false (option), refused=clear, perm_next_mx=false, cn=false (option), bits=enough (option), perm_bits=enough (option)
    haraka           | enable_tls       | none          | -           | a TLS failure, if disable_for_failed_hosts=true | disable_for_failed_hosts=false (option)
    stalwart         | optional         | opportunistic | -           | a TLS failure                                   | mta_sts=optional (option), bogus_tlsa=defer, unusable_tlsa=encrypt
    halon            | disabled         | none          | TLSv1.2     | -                                               | handshake_failure=clear, failed_check=clear, mta_sts=false (option)
    momentum         | no               | none          | -           | -                                               | tls_ifavailable_fallback=true (option), failed_check=clear, tls_verify_optional=false (option)
    powermta         | no               | none          | -           | -                                               | handshake_failure=defer, smtp_421_means_mx_unavailable=false (option), bounce_upon_5xx_greeting=true (option)
    fortimail        | preferred        | none          | -           | -                                               | handshake_failure=clear, fail_next_mx=false, check_cert_subject=false (option), mtasts_status=none (option)
    proofpoint       | default          | none          | TLSv1.2     | -                                               | handshake_failure=clear
    mimecast         | Opportunistic    | none          | TLSv1.2     | -                                               | handshake_failure=clear
"""  # noqa: E501
NEAREST = """
    sender           | No              | Preferred                    | Required                    | Preferred - Verify    | Required - Verify                        | Required - Verify Hosted Domains
    esa              | No              | Preferred                    | Required                    | Preferred - Verify    | Required - Verify                        | Required - Verify Hosted Domains
    postfix          | none            | may                          | encrypt                     | may                   | secure                                   | verify
    exim             | hosts_avoid_tls | default                      | hosts_require_tls           | default               | hosts_require_tls + tls_verify_hosts     | hosts_require_tls + tls_verify_hosts
    opensmtpd        | smtp+notls      | default                      | tls no-verify               | default               | tls                                      | tls
    exchange_server  | IgnoreSTARTTLS  | RequireTLS false             | EncryptionOnly              | RequireTLS false      | DomainValidation                         | CertificateValidation
    exchange_online  | null            | null                         | EncryptionOnly              | null                  | DomainValidation                         | CertificateValidation
    google_workspace | default         | default                      | secure transport            | default               | secure transport + CA-signed + host name | secure transport + CA-signed + host name
    kumomta          | Disabled        | OpportunisticInsecure        | RequiredInsecure            | OpportunisticInsecure | Required                                 | Required
    sendmail         | Try_TLS NO      | none                         | ENCR                        | none                  | VERIFY                                   | VERIFY
    haraka           | no_tls_hosts    | enable_tls                   | force_tls_hosts             | enable_tls            | force_tls_hosts                          | force_tls_hosts
    stalwart         | disable         | optional allow_invalid_certs | require allow_invalid_certs | optional              | require                                  | require
    halon            | disabled        | optional                     | require                     | optional_verify       | require_verify                           | require_verify
    momentum         | no              | ifavailable                  | required                    | ifavailable host      | required host                            | required host
    powermta         | no              | use-starttls                 | require-starttls            | use-starttls          | require-starttls                         | require-starttls
    fortimail        | none            | preferred                    | encrypt                     | preferred             | secure                                   | secure
    proofpoint       | default         | default                      | enforce only TLS            | default               | enforce completely secure SMTP           | enforce completely secure SMTP
    mimecast         | Opportunistic   | Opportunistic                | Enforced, Relaxed           | Opportunistic         | Enforced, Strict                         | Enforced, Strict
"""  # noqa: E501
#: Times in seconds; ``4 x 60``: four waits of a minute.
QUEUEING = """
    sender           | counted | scan | lifetime | retries | dead | connections | messages | warning | waits
    postfix          | age     | 300  | 432000   | -       | 300  | 20          | 1        | -       | 300, 4000
    exim             | tries   | 1800 | 345600   | -       | 900  | 500         | 500      | 86400   | 4 x 900, 3600, 5400, 8100, 12150, 18225, 21600
    opensmtpd        | arrival | 0    | 345600   | -       | 15   | 5           | 100      | 14400   | 400, 1200, 2000, 2800, 3600, 4400, 5200, 6000, 6800, 7600, 8400, 9200, 10000, 10800, 11600, 12400, 13200, 14000, 14800, 15600, 16400, 17200, 18000, 18800, 19600, 20400, 21200, 22000, 22800, 23600
    exchange_server  | tries   | 0    | 172800   | -       | 60   | 20          | 20       | 14400   | 4 x 60, 6 x 300, 600
    exchange_online  | tries   | 0    | 86400    | -       | 0    | 20          | 1        | -       | 2 x 900, 3600
    google_workspace | tries   | 0    | 259200   | -       | 0    | 20          | 1        | -       | 1800
    kumomta          | tries   | 0    | 604800   | -       | 0    | 32          | 1024     | -       | 1200, 2400, 4800, 9600, 19200, 38400, 76800, 153600, 307200
    sendmail         | tries   | 1800 | 432000   | -       | 1800 | 20          | 1        | 14400   | 1
    haraka           | tries   | 0    | 604800   | 12      | 0    | 10000       | 1        | -       | 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072
    stalwart         | tries   | 0    | 259200   | -       | 0    | 20          | 1        | -       | 120, 300, 600, 900, 1800, 3600, 7200
    halon            | tries   | 0    | 432000   | -       | 0    | 20          | 1        | -       | 1800
    momentum         | tries   | 0    | 604800   | -       | 0    | 32          | 1        | -       | 1200, 2400, 4800, 9600, 19200, 38400, 43200
    powermta         | tries   | 0    | 388800   | -       | 600  | 20          | 0        | -       | 600
    fortimail        | tries   | 0    | 432000   | -       | 0    | 20          | 1        | 14400   | 1620
    proofpoint       | tries   | 0    | 432000   | -       | 0    | 20          | 1        | -       | 1800
    mimecast         | tries   | 0    | 432000   | -       | 0    | 20          | 1        | -       | 1800
"""  # noqa: E501


def rows_of(page: str) -> dict[str, list[str]]:
    return {row[0]: row[1:] for row in split_table(page)[1]}


@pytest.mark.parametrize("sender", SENDERS)
def test_it_is_shipped_as_the_page_says(sender: str) -> None:
    known = profile(sender)
    aged = [f"{known.aged_after_s:g} s"] if known.aged_after_s is not None else []
    aged += ["a TLS failure"] if known.aged_after_tls_failure else []
    if known.aged_if is not None:
        name, value = known.aged_if
        aged.append(f"if {name}={str(value).lower()}")
    switches = [
        f"{name}={str(switch.default).lower()}{' (option)' if switch.option else ''}"
        for name, switch in known.switches.items()
    ]
    found = [
        known.default.label,
        known.dane_option.label,
        "-" if known.minimum_tls is None else known.minimum_tls.label,
        ", ".join(aged) or "-",
        ", ".join(switches) or "-",
    ]
    assert found == rows_of(AS_SHIPPED)[sender]


@pytest.mark.parametrize("sender", SENDERS)
def test_its_settings_stand_for_the_gateways_as_the_page_says(sender: str) -> None:
    assert [profile(sender).nearest[setting].label for setting in Setting] == rows_of(NEAREST)[sender]


@pytest.mark.parametrize("sender", [sender for sender in SENDERS if sender != "esa"])
def test_it_queues_as_the_page_says(sender: str) -> None:
    queueing = profile(sender).queueing
    assert queueing is not None
    counted, *numbers, waits_text = rows_of(QUEUEING)[sender]
    waits: list[float] = []
    for part in waits_text.split(", "):
        times, _, wait = part.rpartition(" x ")
        waits += [float(wait)] * int(times or 1)
    found = (
        queueing.scan_s,
        queueing.lifetime_s,
        queueing.max_retries,
        queueing.dead_s,
        queueing.connections,
        queueing.messages_per_connection,
        queueing.warning_s,
    )
    assert queueing.counted == counted
    assert found == tuple(None if number == "-" else float(number) for number in numbers)
    assert queueing.waits_s == tuple(waits)
