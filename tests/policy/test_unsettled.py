"""Which cells of the outcome tables no source settles, and the switches that change each: a page of them."""

from __future__ import annotations

import pytest

from sim.policy.profiles import SENDERS, profile
from sim.policy.text_tables import split_table, term
from sim.terms import Demand, Seen

#: A row's cells are those of every demand with every class of evidence; a sender without a row has none.
PAGE = """
    sender           | switches                                   | demands                                                                                   | seen
    esa              | -                                          | clear, opportunistic, encrypt, opportunistic-verify, verify, dane, mta-sts                | DNS temporary, DNS permanent, greeting 5xx
    esa              | tls_failure_next_mx                        | encrypt                                                                                   | not offered, refused 4xx, lost before 220, handshake failed, handshake hangs, lost in TLS
    esa              | tls_failure_next_mx                        | verify                                                                                    | not offered, refused 4xx, lost before 220, handshake failed, handshake hangs, lost in TLS, untrusted, expired, name mismatch
    esa              | tls_failure_next_mx                        | dane, mta-sts                                                                             | not offered, refused 4xx, refused 5xx, lost before 220, handshake failed, handshake hangs, lost in TLS, untrusted, expired, name mismatch
    esa              | starttls_5xx_required, tls_failure_next_mx | encrypt, verify                                                                           | refused 5xx
    esa              | tls_failure_next_mx                        | opportunistic                                                                             | lost before 220, handshake failed, handshake hangs, lost in TLS
    esa              | tls_failure_next_mx                        | opportunistic-verify                                                                      | lost before 220, lost in TLS
    esa              | pv_after_220                               | opportunistic-verify                                                                      | handshake failed, handshake hangs
    opensmtpd        | handshake_hangs                            | opportunistic                                                                             | handshake hangs
    exchange_server  | -                                          | clear, encrypt, verify                                                                    | greeting 5xx
    exchange_server  | -                                          | opportunistic                                                                             | greeting 5xx, lost before 220, lost in TLS
    exchange_server  | handshake_failed                           | opportunistic                                                                             | handshake failed, handshake hangs
    exchange_online  | -                                          | opportunistic, encrypt-or-bounce                                                          | greeting 5xx, lost before 220, lost in TLS
    exchange_online  | -                                          | encrypt, verify, dane, mta-sts                                                            | greeting 5xx
    exchange_online  | handshake_failed                           | opportunistic                                                                             | handshake failed, handshake hangs
    exchange_online  | dane_unusable_handshake                    | encrypt-or-bounce                                                                         | handshake failed, handshake hangs
    google_workspace | -                                          | opportunistic, encrypt-or-bounce, verify-or-bounce                                        | greeting 5xx, lost before 220, lost in TLS
    google_workspace | -                                          | mta-sts                                                                                   | greeting 5xx
    google_workspace | rule_next_host                             | encrypt-or-bounce                                                                         | not offered, refused 4xx, refused 5xx, handshake failed, handshake hangs
    google_workspace | rule_next_host                             | verify-or-bounce                                                                          | not offered, refused 4xx, refused 5xx, handshake failed, handshake hangs, untrusted, expired, name mismatch
    google_workspace | handshake_failed                           | opportunistic                                                                             | handshake failed, handshake hangs
    kumomta          | opportunistic_tls_reconnect_on_failed_handshake, peer_takes_new_ehlo | opportunistic | handshake failed
    sendmail         | -                                          | clear, opportunistic-verify, encrypt, encrypt-or-bounce, verify, verify-or-bounce         | greeting 5xx
    sendmail         | perm_next_mx                               | encrypt-or-bounce                                                                         | not offered, refused 4xx, refused 5xx, handshake failed, handshake hangs
    sendmail         | perm_next_mx                               | verify-or-bounce                                                                          | not offered, refused 4xx, refused 5xx, handshake failed, handshake hangs, untrusted, expired, name mismatch
    sendmail         | refused                                    | opportunistic-verify                                                                      | refused 4xx, refused 5xx
    halon            | -                                          | clear, opportunistic, encrypt, opportunistic-verify, verify, dane, mta-sts                | greeting 5xx
    halon            | handshake_failure                          | opportunistic, opportunistic-verify                                                       | handshake failed, handshake hangs
    halon            | failed_check                               | opportunistic-verify                                                                      | untrusted, expired, name mismatch
    momentum         | -                                          | clear, opportunistic, encrypt, opportunistic-verify, verify, opportunistic-no-fallback    | greeting 5xx
    momentum         | failed_check                               | opportunistic-verify                                                                      | untrusted, expired, name mismatch
    powermta         | -                                          | opportunistic                                                                             | not offered, refused 4xx, refused 5xx, lost before 220, lost in TLS, untrusted, expired, name mismatch, verified
    powermta         | -                                          | encrypt                                                                                   | not offered, refused 4xx, refused 5xx, lost before 220, handshake failed, handshake hangs, lost in TLS, untrusted, expired, name mismatch, verified
    powermta         | handshake_failure                          | opportunistic                                                                             | handshake failed, handshake hangs
    fortimail        | -                                          | clear, opportunistic, encrypt, encrypt-or-bounce, verify, verify-or-bounce, dane, mta-sts | greeting 5xx
    fortimail        | fail_next_mx                               | encrypt-or-bounce                                                                         | not offered, refused 4xx, refused 5xx, handshake failed, handshake hangs
    fortimail        | fail_next_mx                               | verify-or-bounce                                                                          | not offered, refused 4xx, refused 5xx, handshake failed, handshake hangs, untrusted, expired, name mismatch
    fortimail        | handshake_failure                          | opportunistic                                                                             | handshake failed, handshake hangs
    proofpoint       | -                                          | opportunistic, encrypt, verify                                                            | greeting 5xx
    proofpoint       | handshake_failure                          | opportunistic                                                                             | handshake failed, handshake hangs
    mimecast         | -                                          | opportunistic, encrypt, verify                                                            | greeting 5xx
    mimecast         | handshake_failure                          | opportunistic                                                                             | handshake failed, handshake hangs
"""  # noqa: E501


@pytest.mark.parametrize("sender", SENDERS)
def test_the_open_cells_are_those_of_the_page(sender: str) -> None:
    said = {
        (term(seen, Seen), term(demand, Demand)): () if switches == "-" else tuple(switches.split(", "))
        for name, switches, demands, classes in split_table(PAGE)[1]
        for demand in demands.split(", ")
        for seen in classes.split(", ")
        if name == sender
    }
    assert {(seen, demand): switches for seen, demand, switches in profile(sender).unsettled()} == said
