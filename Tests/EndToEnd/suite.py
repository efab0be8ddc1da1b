"""Runs the tests of a suite: functions marked with `@test`, a few at a time, each with a limit and a line of output."""

import argparse
import asyncio
import os
import sys
import time
import traceback

import node as nodes
from timing import limited

TESTS = []
SECONDS_LIMIT = 300  # only a hang reaches it


def test(function):
    """Marks an async function as a test; its name, underscores as spaces, is the sentence that it proves."""
    TESTS.append(function)
    return function


def within(seconds):
    """Gives a test another limit than the suite's."""

    def mark(function):
        function.seconds = seconds
        return function

    return mark


def skip(reason):
    """Ends a test that this machine cannot run; the reason is printed."""
    raise Skipped(reason)


class Skipped(Exception):
    pass


def parser(suite):
    """The arguments of every suite; a suite may add its own."""
    arguments = argparse.ArgumentParser(description=f"The {suite} suite, against $TUMULTE_BINARY.")
    arguments.add_argument("only", nargs="*", help="parts of the names of the tests to run")
    return arguments


def run(chosen, parallel=3, tests=None):
    """Runs the tests, prints `N passed, N failed` last, and exits."""
    if not os.access(nodes.BINARY, os.X_OK):
        print(f"No binary at {nodes.BINARY}: build it (make build) or set TUMULTE_BINARY", file=sys.stderr)
        sys.exit(1)
    tests = [
        function
        for function in (TESTS if tests is None else tests)
        if not chosen or any(part in function.__name__ for part in chosen)
    ]
    sys.exit(asyncio.run(_run(tests, parallel)))


async def _run(tests, parallel):
    gate = asyncio.Semaphore(parallel)
    counts = {"ok": 0, "FAILED": 0, "skipped": 0}
    failures = []

    async def one(function):
        async with gate:
            started = time.monotonic()
            note = ""
            try:
                await limited(function(), getattr(function, "seconds", SECONDS_LIMIT))
                outcome = "ok"
            except Skipped as reason:
                outcome, note = "skipped", f": {reason}"
            except Exception:
                outcome, note = "FAILED", "\n" + traceback.format_exc()
            counts[outcome] += 1
            sentence = function.__name__.replace("_", " ")
            if outcome == "FAILED":
                failures.append(f"{sentence}: {note.splitlines()[-1][:300]}")
            print(f"{outcome:7} {sentence} ({time.monotonic() - started:.2f} s){note}", flush=True)

    await asyncio.gather(*(one(function) for function in tests))
    # Once more where a reader looks first: logs and traces between them may be long.
    for failure in failures:
        print(f"FAILED  {failure}")
    if counts["skipped"]:
        print(f"{counts['skipped']} skipped")
    print(f"{counts['ok']} passed, {counts['FAILED']} failed")
    return 1 if counts["FAILED"] or not (counts["ok"] or counts["skipped"]) else 0
