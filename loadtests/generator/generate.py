"""One load process: ``python -m loadtests.generator.generate --url URL --scenario steady --users N ... --run-dir DIR``.

Standard output is a protocol, one JSON object a line: first ``{"ready": true, "pid": n}``, then once a second (and
first as soon as all users are up) ``{"users", "in_flight", "requests", "failures", "lag_ms"}`` (``lag_ms`` is the 99th
percentile of how late the event loop woke a sleeper since the line before), last ``{"done": true, "recorded": n}``.
SIGTERM or SIGINT ends it: no new request starts, those in flight are awaited for ``--stop-timeout`` seconds, all
samples are written. Exit codes: 0, 1 when the samples could not be written, 2 for what cannot be started.

Flags are read before Locust is imported, which takes a second: a mistyped one is told at once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from loadtests import scenarios
from loadtests.flags import OneLineParser, rate, seconds, whole
from loadtests.target import parse_target

CLIENTS = ("lean", "fast")


def main(arguments: Sequence[str]) -> int:
    """Generate load as the command line says; return the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        scenario = scenarios.load(options.scenario)
        if options.rate is not None:
            scenario = scenario.at_rate(options.rate)
        target = parse_target(options.url, scenario.path)
        target.refuse_foreign(allowed=options.i_may_load_this_host)
        if options.client == "lean" and target.scheme != "http":
            raise ValueError(f"the lean client speaks http only, not {target.scheme}: add --client fast")
        if not options.run_dir.is_dir():
            raise ValueError(f"--run-dir {options.run_dir} is not a directory")
    except ValueError as error:
        parser.error(str(error))
    from loadtests.generator.load_process import run

    try:
        return run(options, scenario, target)
    except OSError as error:
        parser.error(f"samples cannot be written to {options.run_dir}: {error.strerror}")


def _parser() -> OneLineParser:
    parser = OneLineParser(
        "loadtests.generator.generate",
        "One load process.",
    )
    add = parser.add_argument
    add("--url", required=True, help="the server under test, e.g. http://127.0.0.1:8080")
    add("--scenario", default="steady", metavar="NAME", help=f"one of: {', '.join(scenarios.names())}")
    add("--users", type=whole(1), required=True, metavar="N", help="users of this process")
    add("--first-user", type=whole(0), default=0, metavar="N", help="number of this process's first user")
    add("--total-users", type=whole(1), metavar="N", help="users of all processes, which share an open loop's rate")
    add("--spawn-rate", type=rate, default=100.0, metavar="R", help="users to start a second")
    add("--rate", type=rate, metavar="R", help="requests a second of all processes; of an open loop only")
    add("--duration", type=seconds(0.1), default=60.0, metavar="S", help="measured time, over which a profile changes")
    add("--seed", type=whole(0), default=42, metavar="N", help="same seed, same requests")
    add("--run-dir", type=Path, required=True, metavar="DIR", help="the run's directory, which must exist")
    add("--block", type=whole(0), default=0, metavar="I", help="index of the block in the manifest")
    add("--stop-timeout", type=seconds(0), default=60.0, metavar="S", help="how long to wait for requests in flight")
    add("--client", choices=CLIENTS, default=CLIENTS[0], help="HTTP client of the users; fast is Locust's own")
    add("--no-echo", action="store_true", help="the server's replies do not repeat the prompts: do not look for them")
    add("--i-may-load-this-host", action="store_true", help="confirm that you may load a host that is not this machine")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
