"""`python -m loadtests COMMAND`. Each command is a package of its own, imported only when it is asked for."""

import importlib
import signal
import sys

_COMMANDS = {
    "bench": "load a server of its own, async against sync, and save a report",
    "capacity": "find the most users that a server holds within an SLO",
    "ablate": "switch off each policy in turn, and tell what each one earns and costs",
    "baseline": "measure a server against a handler that does nothing, for the gate",
}
_USAGE = "usage: python -m loadtests COMMAND [options]"


def main(arguments: list[str]) -> int:
    """Run a command and return its exit code: 2 if there is no such command, 130 if Ctrl-C ends it while it loads."""
    command, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if command in ("-h", "--help"):
        print(_USAGE, *(f"  {name:<10} {summary}" for name, summary in _COMMANDS.items()), sep="\n")
        return 0
    if command not in _COMMANDS:
        wrong = f"no command {command!r}" if command else "a command is missing"
        print(f"python -m loadtests: {wrong}; there are: {', '.join(_COMMANDS)}", file=sys.stderr)
        return 2
    try:
        code: int = importlib.import_module(f"loadtests.{command}.command").main(rest)
        return code
    except KeyboardInterrupt:
        return 130
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done: a late one must not spoil the exit code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
