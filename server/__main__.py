"""``python -m server``: the reference server.

Exit codes: 0 drained after SIGTERM or SIGINT; 1 the address cannot be had, or requests were cut off; 2 wrong settings;
130 SIGINT before it was ready; 130 or 143 a second signal, SIGINT or SIGTERM, while it drained.
"""

from __future__ import annotations

import asyncio
import signal
import sys

from server.settings_sources import UsageError, load_settings

_INTERRUPTED = 128 + signal.SIGINT


def main() -> int:
    """Read the settings, serve, and return the exit code."""
    try:
        settings, api_key = load_settings(sys.argv[1:])
    except UsageError as error:
        return _complain(str(error), 2)

    import uvloop

    from server.logs import logging_to_stderr
    from server.serving import ListenError, serve

    try:
        with logging_to_stderr(settings.log_level), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            cut_off = runner.run(serve(settings, api_key))
    except ValueError as error:
        return _complain(str(error), 2)
    except ListenError as error:
        return _complain(str(error), 1)
    except KeyboardInterrupt:
        return _complain("interrupted", _INTERRUPTED)
    if cut_off:
        return _complain(f"{cut_off} requests took longer than drain_timeout_s to finish and were cut off", 1)
    return 0


def _complain(text: str, code: int) -> int:
    print(f"python -m server: {text}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
