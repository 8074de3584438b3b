"""What can go wrong for a user, one class per exit code.

The command line prints the message alone and exits with `exit_code`; `--debug` adds the traceback.
Messages say what is wrong, which value it was, and what to do.
"""

from __future__ import annotations

from typing import ClassVar


class BudgetctlError(Exception):
    """The work failed for a reason the user can act on."""

    exit_code: ClassVar[int] = 1


class UsageError(BudgetctlError):
    """The request itself is wrong: an option, a recipe, a file's contents."""

    exit_code: ClassVar[int] = 2


class MissingParentError(BudgetctlError):
    """A stage's input has not been published in this store."""

    exit_code: ClassVar[int] = 3


class InterruptedRunError(BudgetctlError):
    """The stage was asked to stop and left what it needs to continue in its draft."""

    exit_code: ClassVar[int] = 75


class StoppedByUserError(BudgetctlError):
    """Ctrl-C."""

    exit_code: ClassVar[int] = 130


class ClosedPipeError(BudgetctlError):
    """Whoever read our output has gone; there is nobody to tell."""

    exit_code: ClassVar[int] = 141
