"""The commands of ``tlssim``, and how it ends: a line for each fault, and a status a script can rely on."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

import click

from sim.about import __version__
from sim.cli.capacity import capacity_command
from sim.cli.decision_table import table_command
from sim.cli.destconfig import destconfig_command
from sim.cli.expected import expected_command
from sim.cli.explain import explain_command
from sim.cli.modes import modes_command
from sim.cli.run import run_command
from sim.cli.sweep import sweep_command
from sim.cli.table_files import check_command, export_command, import_command
from sim.cli.text import PipeClosedError
from sim.cli.whatif import whatif_command
from sim.errors import SimError

#: Faults that are told after the first.
_MOST_FAULTS = 20

OK, FAULT, INTERRUPTED, PIPE_CLOSED, TERMINATED = 0, 2, 130, 141, 143
STATUS = (
    "Exit status: 0; 1 when check --fail-on finds something; 2 for bad input; 130 when interrupted, 143 by SIGTERM."
)


class Program(click.Group):
    """A group of commands whose faults are told on stderr, one a line."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command and leave with its status: 0, 2 for a fault, 130 or 143 when interrupted; 1 is `check`'s."""
        status = OK
        terminated = threading.Event()
        try:
            with _as_ctrl_c(terminated):
                told = super().main(args, prog_name or "tlssim", complete_var, standalone_mode=False, **extra)
            status = told if isinstance(told, int) else OK
            _flush()
        except click.ClickException as fault:
            _complain(_usage(fault))
            status = FAULT
        except SimError as fault:
            _complain_of_all(fault)
            status = FAULT
        except click.Abort as stop:
            ended = "terminated" if terminated.is_set() else "interrupted"
            _complain(str(stop) or f"{ended}; nothing was written")
            status = TERMINATED if terminated.is_set() else INTERRUPTED
        except PipeClosedError:
            status = PIPE_CLOSED
        if not standalone_mode:
            return status
        sys.exit(status)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the commands in the order in which one meets them."""
        del ctx
        return list(self.commands)


@click.group(
    "tlssim",
    cls=Program,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=f"Every command explains itself: tlssim modes --help. {STATUS}",
)
@click.version_option(__version__, prog_name="tlssim", message="%(prog)s %(version)s")
def main() -> None:
    """Simulate a mail gateway's outbound delivery under each TLS setting of its Destination Controls.

    Begin with `tlssim modes`: the same mail under each of the six settings. Then check your own table with
    `tlssim check FILE`, run it with `tlssim run SCENARIO.toml`, and try a change of it with `tlssim whatif`.
    `tlssim destconfig FILE` edits it in the gateway's own dialogue.
    `tlssim capacity` tells how many connections, handshakes and waiting messages to plan for.
    `tlssim sweep GRID.toml` runs every combination of settings, limits, senders and amounts of mail.
    """


for command in (
    modes_command,
    run_command,
    whatif_command,
    capacity_command,
    sweep_command,
    expected_command,
    explain_command,
    table_command,
    check_command,
    destconfig_command,
    import_command,
    export_command,
):
    command.epilog = STATUS
    main.add_command(command)


@contextmanager
def _as_ctrl_c(terminated: threading.Event) -> Iterator[None]:
    """Treat SIGTERM as Ctrl-C, which lets everything clean up: workers end, a folder that was made goes."""
    # Only the main thread may set handlers; whoever calls a command from another one has handlers of their own.
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        del frame
        # A second one would end the cleaning up of the first.
        signal.signal(number, signal.SIG_IGN)
        terminated.set()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _usage(fault: click.ClickException) -> str:
    context = getattr(fault, "ctx", None)
    # Without a command click's own message is the whole help.
    if isinstance(fault, click.exceptions.NoArgsIsHelpError):
        return "no command; 'tlssim --help' lists them"
    hint = f" (see '{context.command_path} --help')" if context is not None else ""
    return f"{fault.format_message().rstrip('.')}{hint}"


def _complain(text: str) -> None:
    click.echo(f"tlssim: {' '.join(text.split())}", err=True)


def _complain_of_all(fault: SimError) -> None:
    others = list(getattr(fault, "__notes__", ()))
    for text in (str(fault), *others[:_MOST_FAULTS]):
        _complain(text)
    if len(others) > _MOST_FAULTS:
        _complain(f"(and {len(others) - _MOST_FAULTS:,} more)")


def _flush() -> None:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # What is left in the buffer would be written, and fail again, when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise PipeClosedError from None
