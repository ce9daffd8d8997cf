"""Questions to whoever answers: a person, who is asked again after a wrong answer, or a pipe, which cannot be."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from sim.cli.text import say
from sim.errors import PolicyError, SimError, complaint

T = TypeVar("T")


class EndOfAnswersError(Exception):
    """There is no further answer: the pipe has ended, or somebody typed Ctrl-D."""


class Answers(Protocol):
    """Where answers come from.

    Attributes
    ----------
    again : whether a wrong answer is asked again; otherwise it is a fault, since all later answers would be
        answers to other questions.
    """

    again: bool

    def next(self, prompt: str) -> str:
        """Show the prompt and return a line; raise `EndOfAnswersError` when there is none."""

    def where(self) -> str:
        """Say where the last answer stands."""


class Terminal:
    """A person at a terminal."""

    again = True

    def next(self, prompt: str) -> str:
        """Show the prompt and wait for a line."""
        # Not input(prompt): that shows it on stderr.
        say(prompt, end="")
        try:
            return input()
        except EOFError:
            say()
            raise EndOfAnswersError from None

    def where(self) -> str:
        """Say where the last answer stands."""
        return "the terminal"


class Pipe:
    """Lines of standard input. They are echoed, so that what is printed reads like the dialogue it is."""

    again = False

    def __init__(self) -> None:
        self.line = 0

    def next(self, prompt: str) -> str:
        """Show the prompt and read a line."""
        from sim.files import decode

        say(prompt, end="")
        content = sys.stdin.buffer.readline()
        if not content:
            say()
            raise EndOfAnswersError
        self.line += 1
        answer = decode(content, self.where(), PolicyError).strip()
        say(answer)
        return answer

    def where(self) -> str:
        """Say where the last answer stands."""
        return f"standard input, line {self.line}"


class Dialogue:
    """Asks, with the answer that an empty line gives in brackets."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers

    def ask(self, question: str, default: str, read: Callable[[str], T]) -> T:
        """Ask until ``read`` takes the answer.

        Parameters
        ----------
        question : without brackets; a line break or blank at its end stands before them.
        default : what an empty line means.
        read : turns the answer into a value, or raises a `SimError` that says what is allowed.
        """
        while True:
            answer = self.answers.next(f"\n{question}[{default}]> ").strip()
            try:
                return read(answer or default)
            except SimError as fault:
                self.take(fault)

    def take(self, fault: SimError) -> None:
        """Tell a person of a fault; for a pipe it is the end.

        Raises
        ------
        SimError
            The fault, with the place of the answer in front, when nobody can be asked again.
        """
        if not self.answers.again:
            fault.args = (f"{self.answers.where()}: {fault}",)
            raise fault
        others = len(getattr(fault, "__notes__", ()))
        say(f"{fault}{f' (and {others:,} more)' if others else ''}")

    def yes(self, question: str, default: bool) -> bool:
        """Ask a question of yes or no."""

        def read(answer: str) -> bool:
            if answer.lower() not in ("y", "yes", "n", "no"):
                raise PolicyError(complaint("answer", answer, "Y, N"))
            return answer.lower().startswith("y")

        return self.ask(f"{question} ", "Y" if default else "N", read)

    def choose(self, question: str, options: Sequence[tuple[str, T]], current: T) -> T:
        """Ask for the number of one of several options: what it is called, and what it means."""
        listed = "".join(f"{number}. {label}\n" for number, (label, _) in enumerate(options, start=1))

        def read(answer: str) -> T:
            if answer.isascii() and answer.isdigit() and 1 <= int(answer[:9]) <= len(options):
                return options[int(answer) - 1][1]
            raise PolicyError(complaint("answer", answer, f"a number, 1 to {len(options)}"))

        values = [value for _, value in options]
        return self.ask(f"{question}\n{listed}", str(values.index(current) + 1), read)
