"""How much of a policy's files was used."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sim.formats.postfix_tls_policy import TlsPolicyMap
    from sim.policy.destinations import DestinationControls


def account_counts(policy: DestinationControls | TlsPolicyMap) -> dict[str, int]:
    """Return how many lines of a policy's files were understood, ignored, guessed, and how many change answers."""
    rows = getattr(policy, "rows", ())
    kinds = {kind: sum(row.kind == kind for row in rows) for kind in ("understood", "ignored", "guessed")}
    return kinds | {"changes_answer": sum(row.changes_answer for row in rows)}


def account_sentence(
    policy: DestinationControls | TlsPolicyMap, hint: str = " ('tlssim import FILE' lists them)"
) -> str:
    """Say how much of a policy's files was used; nothing for a policy that came from none."""
    counts = account_counts(policy)
    if not sum(counts.values()):
        return ""
    can = f"{counts['changes_answer']:,} of these could change the answer"
    if not counts["changes_answer"]:
        can = "none of these could change the answer"
    return (
        f"Lines of the policy's files: {counts['understood']:,} understood, {counts['ignored']:,} ignored, "
        f"{counts['guessed']:,} guessed; {can}{hint}."
    )
