"""Right inputs to begin with: the repository's examples, pieces of the tests, certificates that never change."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sim.data import data_root, example
from sim.policy import profile
from sim.policy.profiles import esa, postfix

_INI = example("destinations.ini").read_bytes()
_OF_EXAMPLE = example("scenario.toml").read_bytes().replace(b"domains = 5_000", b"domains = 20")
_EVENTS = b"""
[[timeline]]
event = "outage"
provider = "microsoft-mail"
at_h = 9
for_h = 4
label = "outage"
[[timeline]]
event = "policy"
set = { "*.gov.example" = "required", DEFAULT = "preferred" }
at_h = 10
[[timeline]]
event = "policy"
setting = "required_verify"
at_h = 11
for_h = 1
[[timeline]]
event = "starttls-stripped"
share = 0.5
at_h = 1
[[timeline]]
event = "load"
factor = 3
at_h = 2
"""
_LIST = b"""\
[]> list

             Rate               Bounce        Bounce     IP Version
Domain       Limiting  TLS      Verification  Profile    Preference
===========  ========  =======  ============  =========  ============
example.com  Default   On       Default       Default    Default
.b.example   On        Req-Verify  On         Short_Life Require IPv4
[192.0.2.7]  Off       Req-Verify-Hosted  Default  (Default)  Prefer IPv6
(Default)    On        Off      Off           (Default)  Prefer IPv6

Choose the operation you want to perform:
- NEW - Create a new entry.
"""
_LIST_DANE = b"""\
             Rate                        Bounce        Bounce     IP Version
Domain       Limiting  TLS      DANE     Verification  Profile    Preference
===========  ========  =======  =======  ============  =========  ============
a.example    Default   Default  Mandatory  Default     Default    Default
(Default)    On        Off      None     Off           (Default)  Prefer IPv6
"""

DESTINATION_CONTROLS = (
    _INI[:900],
    b"[DEFAULT]\ntable_tls = on\n[bank.example]\ntable_tls = require\n",
    (
        b"\xef\xbb\xbf# ours\r\n[DEFAULT]\r\nTABLE_TLS = 4 ; since May\r\ncertificate = out\r\nx_owner = team\r\n"
        b"[.gov.example] # all\r\ntable_tls = require_verify_hosted\r\nmax_host_concurrency = 20\r\n"
        b"limit_type = MXIP\r\nlimit_apply = VG\r\nbounce_profile = Short_Life\r\ndane_option = mandatory\r\n"
    ),
    (
        b"[[192.0.2.7]]\nrecipient_limit = 50\nrecipient_minutes = 60\nlimit_type = host\nlimit_apply = system\n"
        b"[[IPv6:2001:db8::1]]\nip_sort_pref = REQUIRE_V6\nbounce_validation = 1\nmax_messages_per_connection = 1000"
    ),
    "[bücher.example]\ntable_tls = On-Verify\n[DEFAULT]\nrecipient_limit = 0\n".encode(),
)
CSV_TABLES = (
    (
        b"domain,tls,dane,max_connections,max_messages_per_connection,recipient_limit,recipient_minutes,limit_type,"
        b"limit_apply,ip_sort_pref,bounce_verification,bounce_profile\n"
        b"bank.example,Req-Verify,,10,,,,,,,,Short_Life\n.shop.example,On,Opportunistic,,,100,60,,,,,\n"
        b"(Default),Off,,500,50,0,,,,Prefer IPv6,Off,(Default)\n"
    ),
    b"domain;tls\r\na.example;Req\r\n(Default);Off\r\n",
)
LISTS = (
    _LIST,
    _LIST_DANE,
    b"a.example  Default  Req  Default  Default  Default\nb.example  On  On  On  My Profile  Prefer IPv4\n",
)
BOUNCE_PROFILES = (
    example("bounce_profiles.toml").read_bytes(),
    b'[Default]\nmax_retries = 3\nhost_growth = "constant"\n[_a]\ninitial_retry = 60.5\ngrowth = "1.5x"\n',
    b"Default.max_retries = 5\n[ Short ]\n'max_retries' = 1\n\"growth\" = 'doubling'\n",
)
SCENARIOS = (
    _OF_EXAMPLE,
    _OF_EXAMPLE + _EVENTS,
    (
        b'seed = 3\nuntil_h = 12.5\nminimum_tls = "TLSv1.2"\nvary = "chance"\nprecision = 0.5\nrecords = true\n'
        b'[population]\ncsv = "mine.csv"\n[population.figures]\nmx_hosts_1 = 0.5\ntls_untrusted = 0.1\n'
        b"[workload]\nsize_bytes = 1000\nrecipients = 2\nmessages_per_day = 100\n"
        b'[switches]\npv_after_220 = "fail"\ntls_failure_next_mx = false\n'
        b'[delivery]\nidle_timeout_s = 3\nexpire = "when_due"\n'
    ),
    (
        b'[population]\ndomains = 5\nseed = 7\n[workload]\ntrace = "trace.csv"\n'
        b'[policy]\nfile = "destinations.ini"\nstrict = false\n'
    ),
    b"[population]\ndomains = 5\n[workload]\nmessages = 10\nhourly = ["
    + b"1, " * 23
    + b"1]\nweekday = [1,1,1,1,1,0,0]\n"
    + b"size_min_bytes = 100\nsize_median_bytes = 2e4\nsize_sigma = 1.5\nsize_tail_share = 0.1\n"
    + b"size_tail_exponent = 1.3\nsize_max_bytes = 1e6\nrecipients_exponent = 2.5\nrecipients_max = 10\n",
)
GRIDS = (
    example("sweep.toml").read_bytes().replace(b"domains = 300", b"domains = 20"),
    b'scenario = "scenario.toml"\nreplications = 2\nvary = "chance"\n[grid]\nsetting = ["Required", "off"]\n',
    (
        b"seed = 3\n[scenario.population]\ndomains = 5\n[[scenario.timeline]]\nevent = 'load'\nfactor = 2\nat_h = 1\n"
        b"[grid]\nsender = ['esa', 'postfix']\nworkload.messages = [5, 1e2]\n'timeline.1.for_h' = [1, 2.5]\n"
        b"[grid.population.figures]\ndns_temporary_rate = [0.1]\n"
    ),
)
TOML = (
    *BOUNCE_PROFILES,
    *SCENARIOS,
    b'a = """x\ny"""\nb.c."d.e" = [1, 2.5, {f = true}]\n[[g]]\nh = 1979-05-27T07:32:00Z\n[[g]]\nh = 0x1f\n',
)
TRACES = (
    b"domain,time_s,size_bytes,recipients\na.example,0,1000,1\nb.example,3.5,20000,2\n",
    (
        b'\xef\xbb\xbfid,Recipients , time_s,"domain",size_bytes\r\n1,1,0.5,"a.example",1e3\r\n\r\n'
        b'2,2,1_0,"b ""x"" c",0\r\n'
    ),
)
DESTINATIONS = (
    b"domain,messages\na.example,100\nB.example.,2.5\n_x.example,0\nc.example,1e308\n",
    b'\xef\xbb\xbfowner, Domain ,messages\r\n"me, you",a.example,1e3\r\n\r\n"a\nb",xn--bcher-kva.example,7\r\n',
)
_POPULATIONS = data_root() / "populations"
_HEADS = [b"".join((_POPULATIONS / name).read_bytes().splitlines(True)[:9]) for name in ("2020s-web.csv", "common.csv")]
FIGURES = (*_HEADS, b"".join((_POPULATIONS / "mail.csv").read_bytes().splitlines(True)[:6]))
PROVIDERS = (b"".join((_POPULATIONS / "2020s-web-providers.csv").read_bytes().splitlines(True)[:4]),)
EVIDENCE = (
    b"stage=tls tls_version=TLSv1.2 chain=expired names=san-domain,cn-ptr",
    b"stage=not-offered",
    b"chain=trusted;names=none;stage=tls",
    b"names=SAN_MX,cn_mx tls_version=tls_1_3",
)
SETTINGS = (b"Required - Verify", b"required_verify", b"Preferred", b"require_verify_hosted", b"default", b"off")
PATTERNS = (
    b"*.gov.example",
    b"*",
    b"DEFAULT",
    b"[192.0.2.7]",
    b"[IPv6:2001:DB8::1]",
    "MX.Bücher.Example.".encode(),
    b".a.example",
)
TYPED = (
    b"*.gov.example=required_verify\nDEFAULT=preferred",
    b"*=Required - Verify\n.a.example=default",
    b"[192.0.2.7]=off",
)
VERSIONS = (b"1.3", b"TLSv1.2", b"tls_1_0", b"SSLv3")
DECISIONS = (esa.OUTCOMES.encode(),)
COLUMNS = (profile.REASONS.encode(),)
DEMANDS = (esa.DEMANDS.encode(), postfix.DEMANDS.encode())
SORTED_EVIDENCE = (profile.EVIDENCE.encode(),)
POLICIES = (
    b"version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\nmax_age: 604800\r\n",
    b"max_age: 0\nmode: none\nversion: STSv1\nx-other: a:b\n\n",
    "version: STSv1\nmode: testing\nmx: MX.Bücher.example.\nmax_age: 31557600".encode(),
)
TXT = (b"v=STSv1; id=20160831085700Z;", b"v=STSv1;id=1", b"v=STSv1; x=y; id=1; id=2;", b"v=spf1 -all\nv=STSv1; id=1;")
DIALOGUES = (
    b"new\nexample.com\nN\nN\nN\nY\n3\nN\nN\nN\nlist\ncommit\n\n",
    b"new\n.b.example\nY\n20\n2\n1\nY\n30\nY\n100\n60\nY\n5\nY\n2\nN\ndetail\nall\ncommit\n\n",
    b"setup\noutbound\nY\ndefault\n\n\n\n\n\n\n\n\n\n\n\n\nedit\nbank.example\nN\nN\nN\nY\n6\ncommit\n\n",
    b"delete\nbank.example\nclear\nY\nexport\nother\nimport\nother\ndetail\nDEFAULT\nlist\ncommit\n\n",
)


@cache
def certificates() -> tuple[bytes, ...]:
    """A chain of three, PEM and DER. Ed25519 signs without chance, so the bytes never differ."""
    authority, between = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2))
    root = _issue("Root", authority.public_key(), "Root", authority, ca=True)
    middle = _issue("Middle", between.public_key(), "Root", authority, ca=True)
    own = ec.derive_private_key(12_345, ec.SECP256R1()).public_key()
    leaf = _issue("mx.example.com", own, "Middle", between, ca=False)
    pem = [c.public_bytes(Encoding.PEM) for c in (leaf, middle, root)]
    return b"a chain:\n" + b"".join(pem), pem[0], *(c.public_bytes(Encoding.DER) for c in (leaf, root))


def _issue(
    name: str,
    key: ec.EllipticCurvePublicKey | Ed25519PublicKey,
    by: str,
    signer: Ed25519PrivateKey,
    *,
    ca: bool,
) -> x509.Certificate:
    builder = x509.CertificateBuilder().subject_name(_named(name)).issuer_name(_named(by)).public_key(key)
    builder = builder.serial_number(len(name) + 1)
    builder = builder.not_valid_before(datetime(2026, 1, 1, tzinfo=UTC)).not_valid_after(
        datetime(2027, 1, 1, tzinfo=UTC)
    )
    builder = builder.add_extension(x509.BasicConstraints(ca, 1 if ca else None), critical=True)
    if ca:
        usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        return builder.add_extension(usage, critical=True).sign(signer, None)
    names = [x509.DNSName("mx.example.com"), x509.DNSName("*.example.net"), x509.RFC822Name("a@example.com")]
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    return builder.sign(signer, None)


def _named(name: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Org"), x509.NameAttribute(NameOID.COMMON_NAME, name)]
    )


def tlsa() -> tuple[bytes, ...]:
    """Records of every kind; the last two hold a whole certificate and, as a key, what is none."""
    leaf = certificates()[2].hex().encode()
    digest = b"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    return b"3 1 1 " + digest, b"2 0 2 ( " + digest + b"\n " + digest + b" )", b"3 0 0 " + leaf, b"2 1 0 " + leaf[:200]


def digests() -> tuple[bytes, ...]:
    """Fingerprints as people paste them."""
    return b"ab" * 32, b":".join([b"AB"] * 32)
