"""``tlssim destconfig``: a Destination Controls file, edited in the gateway's own dialogue."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from sim.cli.dialogue import Answers, EndOfAnswersError, Pipe, Terminal
from sim.cli.options import profiles_option
from sim.errors import PolicyError


@click.command("destconfig", short_help="Edit a Destination Controls file in the gateway's dialogue.")
@click.argument("file", metavar="FILE")
@profiles_option
@click.option("--dane", is_flag=True, help="Ask for DANE too, as AsyncOS 12.0 does.  [default: when FILE uses it]")
def destconfig_command(file: str, profiles: str | None, dane: bool) -> None:
    """Edit a Destination Controls file in the dialogue of the gateway's destconfig.

    NEW, EDIT, DELETE, DEFAULT, LIST and the others work as they do there. Only COMMIT writes FILE, whole or not at
    all, with its comments and unknown keys kept; a FILE that does not exist begins as a gateway ships, and a CSV
    stays one. A new bounce profile is asked for its values, and written to the file of --profiles, or beside FILE.
    Answers may come from a pipe: one that does not fit ends it, and nothing more is written.
    """
    edit(file, profiles, dane, Terminal() if sys.stdin.isatty() else Pipe())


def edit(file: str, profiles: str | None, dane: bool, answers: Answers) -> None:
    """Hold the dialogue on a file, to its end.

    Raises
    ------
    PolicyError
        When the file is wrong, the answers end before what they changed is committed, or one of them does not fit
        and cannot be asked again.
    """
    from sim.cli.destconfig_commands import open_session

    session = open_session(Path(file), profiles, dane, answers)
    try:
        session.run()
    except EndOfAnswersError:
        since = "what was changed since the last COMMIT is lost" if session.written else f"{file} is as it was"
        if session.command:
            raise PolicyError(f"the answers ended in the middle of {session.command}; {since}") from None
        if session.changed:
            raise PolicyError(f"the answers ended without COMMIT; {since}") from None
    except KeyboardInterrupt:
        if not session.written:
            raise
        raise click.Abort(f"interrupted; written before that: {', '.join(session.written)}") from None
