#!/usr/bin/env python3
"""Durable votes per second in PostgreSQL, side by side on one private server with its default settings (fsync on):

  a. one INSERT and one commit per vote, by pgbench with 8 and with 64 clients (Benchmarks/insert.pgbench);
  b. a row per vote, `unnest` of 1000 votes a transaction over 4 connections;
  c. the journal at its API, the same 1000 votes a transaction over 4 connections packed in one row of a slot, and
     again with more slots to a transaction, as a busy node has them.

Lines that begin with `figure: ` are results. Usage: journal.py LOAD, the program JournalBench.
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
POSTGRES = ROOT / "scripts" / "postgres.sh"

arguments = argparse.ArgumentParser(description=__doc__)
arguments.add_argument("load", help="the program JournalBench")
arguments.add_argument("--seconds", type=int, default=5, help="of each run")
arguments.add_argument("--rounds", type=int, default=3)
ARGUMENTS = arguments.parse_args()

# A straightforward design: who voted in which poll for what, once.
TABLE = """
CREATE TABLE vote(
    poll uuid NOT NULL, voter uuid NOT NULL, choice integer NOT NULL, at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY(poll, voter))
"""


def out(*command):
    run = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True)
    if run.returncode:
        sys.exit(f"{' '.join(map(str, command))}\nended with status {run.returncode}")
    return run.stdout


class Server:
    def __init__(self, directory):
        self.bin = pathlib.Path(out(POSTGRES, "find", "").strip())
        self.url = out(POSTGRES, "start", directory).strip()
        self.sql(TABLE)
        settings = ("fsync", "synchronous_commit", "full_page_writes")
        assert all(self.sql(f"SHOW {name}").strip() == "on" for name in settings), "the server must write durably"

    def sql(self, text):
        return out(self.bin / "psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-c", text, self.url)

    def fresh(self):
        """Nothing left of the run before: neither rows nor work for the next checkpoint."""
        self.sql("TRUNCATE vote")
        if self.sql("SELECT to_regclass('journal')").strip():
            self.sql("TRUNCATE journal")
            self.sql("DELETE FROM node_lease")
        self.sql("CHECKPOINT")

    def single(self, clients):
        self.fresh()
        text = out(
            self.bin / "pgbench", "-n", "-M", "prepared", "-c", clients, "-j", 2, "-T", ARGUMENTS.seconds,
            "-f", ROOT / "Benchmarks" / "insert.pgbench", self.url,
        )  # fmt: skip
        found = re.search(r"^tps = ([0-9.]+)", text, re.M)
        assert found and "number of failed transactions: 0 " in text, text
        return {"votesPerSecond": float(found[1])}

    def load(self, mode, batches):
        self.fresh()
        return json.loads(out(ARGUMENTS.load, mode, self.url, ARGUMENTS.seconds, 4, batches).splitlines()[-1])


MEASURES = {
    "a8": ("a commit per vote, 8 clients", lambda server: server.single(8)),
    "a64": ("a commit per vote, 64 clients", lambda server: server.single(64)),
    "b": ("a row per vote, 1000 a transaction, 4 connections", lambda server: server.load("unnest", 1)),
    "c1": ("this journal, 1000 votes a transaction, 4 connections", lambda server: server.load("packed", 1)),
    "c8": ("this journal, 8 slots of 1000 votes a transaction, 4 connections", lambda server: server.load("packed", 8)),
}


def middle(runs):
    return sorted(runs, key=lambda run: run["votesPerSecond"])[len(runs) // 2]


def main():
    with tempfile.TemporaryDirectory(prefix="tumulte-bench.") as directory:
        # The server may run as another user.
        pathlib.Path(directory).chmod(0o755)
        place = pathlib.Path(directory) / "server"
        try:
            server = Server(place)
            runs = {name: [] for name in MEASURES}
            for _ in range(ARGUMENTS.rounds):
                for name, (_, measure) in MEASURES.items():
                    runs[name].append(measure(server))
        finally:
            subprocess.run([POSTGRES, "kill", place], check=False)
    rates = {name: middle(found)["votesPerSecond"] for name, found in runs.items()}
    for name, (title, _) in MEASURES.items():
        run = middle(runs[name])
        latency = f", p50 {run['p50us'] / 1000:.1f} ms, p99 {run['p99us'] / 1000:.1f} ms" if "p50us" in run else ""
        print(f"figure: durable votes in PostgreSQL, {title}: {run['votesPerSecond']:,.0f} votes/s{latency}")
    for name, title in (("c1", "1000 votes"), ("c8", "8 slots of 1000 votes")):
        against = [
            f"{rates[name] / rates[other]:,.1f} × {what} (rounds: "
            + ", ".join(f"{a['votesPerSecond'] / b['votesPerSecond']:,.1f}" for a, b in zip(runs[name], runs[other]))
            + ")"
            for other, what in (("a8", "a commit per vote with 8 clients"), ("a64", "with 64"), ("b", "rows in batches"))
        ]
        print(f"figure: this journal with {title} a transaction: {'; '.join(against)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
