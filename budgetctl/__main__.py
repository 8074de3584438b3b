"""The `budgetctl` command: run it, and turn what goes wrong into one sentence and an exit code."""

from __future__ import annotations

import errno
import os
import sys
import traceback

from budgetctl.cli.app import app
from budgetctl.errors import BudgetctlError, ClosedPipeError
from store.errors import StoreError


def main() -> None:
    """Entry point of the console script."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # training libraries would report their use
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code; nothing but the command itself writes to stdout."""
    debug = "--debug" in arguments or os.environ.get("BUDGETCTL_DEBUG", "") not in ("", "0")
    try:
        try:
            app(arguments, prog_name="budgetctl")
        finally:
            sys.stdout.flush()  # here, where a closed pipe can still be told from success
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0
    except (BrokenPipeError, ClosedPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains at exit
        return ClosedPipeError.exit_code
    except (BudgetctlError, StoreError) as error:
        _explain(str(error), debug)
        return error.exit_code
    except OSError as error:
        _explain(_about_os(error), debug)
        return 1
    return 0


def _explain(message: str, debug: bool) -> None:
    if debug:
        traceback.print_exc()
    print(f"budgetctl: {message}", file=sys.stderr)


def _about_os(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return (
            f"no space left on the device{where}; free some (`budgetctl store gc --dry-run` lists what can go) "
            "and run the same command again: what was finished is kept"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{error.strerror}{where}; choose a store that can be written with --store or BUDGETCTL_STORE"
    return f"{error.strerror or error}{where}"


if __name__ == "__main__":
    main()
