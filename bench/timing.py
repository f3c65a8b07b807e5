"""What the parts of bench/run_cpu.py share: programs that are timed in turn, and tables.

In: commands that speak the line protocol (bench/line_protocol.hpp). Out: least times, Markdown.
"""
import math
import os
import select
import subprocess
import time


class Program:
    """A process behind the line protocol: the least time of each of its cases, and the count of those that have one. A
    case that has not answered after `limit` seconds is given up, with the process; its time is then infinite."""

    def __init__(self, command, threads, limit=None):
        self.command, self.limit = [str(c) for c in command], limit
        self.environment = dict(os.environ, OMP_NUM_THREADS=str(threads), PYTHONDONTWRITEBYTECODE="1")
        self.least, self.count = {}, {}
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env=self.environment)

    def run(self, case, repeats):
        self.process.stdin.write(f"{case} {repeats}\n")
        self.process.stdin.flush()
        if not select.select([self.process.stdout], [], [], self.limit)[0]:
            self.process.kill()
            self.process.wait()
            self.start()
            self.least[case] = math.inf
            return
        answer = self.process.stdout.readline().split()
        if not answer:
            raise RuntimeError(f"{self.process.args} ended at {case}")
        seconds = float(answer[1])
        # A NaN says that the case cannot run here, and stays.
        self.least[case] = seconds if math.isnan(seconds) else min(seconds, self.least.get(case, math.inf))
        if len(answer) > 2:
            self.count[case] = float(answer[2])

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def in_turn(rounds, pairs, seconds=math.inf):
    """pairs: (program, case, repeats) for one comparison; each round runs all of them once. No round begins after so
    many seconds."""
    end = time.monotonic() + seconds
    for _ in range(rounds):
        for program, case, repeats in pairs:
            if math.isfinite(program.least.get(case, 0.0)):
                program.run(case, repeats)
        if time.monotonic() > end:
            break


def milliseconds(seconds):
    return "-" if math.isnan(seconds) else "too long" if math.isinf(seconds) else f"{seconds * 1e3:.2f}" if seconds < 0.1 else f"{seconds * 1e3:.0f}"


def table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"
