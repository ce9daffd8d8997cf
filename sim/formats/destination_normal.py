"""Write a Destination Controls file with one spelling of everything, and nothing left out."""

from __future__ import annotations

from sim.formats.destination_controls import Policy
from sim.formats.destination_keys import HOSTED_WORD, known_key
from sim.formats.destination_writer import with_note
from sim.formats.ini_lines import Line, LineKind, parse_lines
from sim.policy.destinations import DEFAULT, canonical_domain, is_default


def normalised_text(policy: Policy) -> str:
    r"""Return the table as text in which keys, values and destinations have the spelling the gateway writes.

    Comments, unknown keys and the order of lines stay; ``Policy.parse`` of it has the policy's hash, and it is
    its own normal form. Where the presumed word for Required - Verify Hosted Domains stands in it, its first line
    says so.

    Examples
    --------
    >>> print(normalised_text(Policy.parse("[DEFAULT]\n[Bank.Example.]\nTABLE_TLS=4\n")), end="")
    [DEFAULT]
    [bank.example]
    table_tls = require_verify
    """
    text = "".join(_line(line) for line in parse_lines(policy.to_text()))
    presumed = any(line.value == HOSTED_WORD and known_key(line.name) for line in parse_lines(text))
    return with_note(text, "\n") if presumed else text


def _line(line: Line) -> str:
    body = line.text.rstrip("\r\n")
    end = "\n" if len(body) < len(line.text) else ""
    if line.kind is LineKind.HEADER:
        name = DEFAULT if is_default(line.name) else canonical_domain(line.name) or line.name
        # What stands behind the closing bracket is a comment.
        behind = body[body.index(line.name) + len(line.name) :].lstrip().removeprefix("]").strip()
        return f"[{name}]{' ' * bool(behind)}{behind}{end}"
    if line.kind is LineKind.PAIR:
        key = known_key(line.name)
        value = line.value
        if key is not None and key.entry_field and (known := key.read(value)) is not None:
            value = key.write(known)
        behind = body[line.stop :].rstrip()
        return f"{key.name if key is not None else line.name} = {value}{behind}{end}"
    return body.rstrip() + end
