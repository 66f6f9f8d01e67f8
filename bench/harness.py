"""What the training benchmarks share: options, one run of `altmin train` read back from its log, the machine."""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def fail(message, code=1):
    prog = os.path.splitext(os.path.basename(sys.argv[0]))[0]
    sys.exit(print(f"{prog}: {message}", file=sys.stderr) or code)


def positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
    return value


def call(command):
    """Standard output and error of a command that must succeed."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        fail(f"{' '.join(command)} failed with code {done.returncode}: {done.stdout.strip()}")
    return done.stdout


class Refused(Exception):
    """altmin did not train; the message is its own."""


def train(altmin, folder, options):
    """Run `altmin train` with `options`; returns (header, sweeps, result) as its log in `folder` has them."""
    log = os.path.join(folder, "log.jsonl")
    done = subprocess.run([altmin, "train", "--quiet", *options, "--log", log, "-o", os.devnull],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise Refused(done.stdout.strip() or f"code {done.returncode}")
    with open(log, encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    sweeps = [r for r in records if r["type"] == "sweep" and r["sweep"] > 0]
    return records[0], sweeps, records[-1]


def method_names(altmin):
    """The methods that this altmin has, as `altmin info` lists them."""
    for line in call([altmin, "info"]).splitlines():
        if line.startswith("methods"):
            return line.split()[1:]
    fail(f"{altmin} info lists no methods")


def commit():
    """Short name of the commit that is checked out, with a + when files differ from it; None outside a repository."""
    git = ["git", "-C", ROOT]
    try:
        name = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
        changed = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True)
    except OSError:
        return None
    return name.stdout.strip() + ("+" if changed.stdout.strip() else "") if name.returncode == 0 else None


def now():
    """Date, system, load and commit."""
    return {"date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
            "system": platform.platform(), "load": round(os.getloadavg()[0], 2), "commit": commit()}


def about(header):
    """The same with machine, threads and kernels of a run, from its log's header."""
    return {
        **now(), "cpu": header["machine"]["cpu"], "cores": header["machine"]["cores"], "threads": header["threads"],
        "backend": f"{header['backend']} ({header['backend_detail']})" if header.get("backend_detail") else header["backend"],
        "version": header["version"],
    }
