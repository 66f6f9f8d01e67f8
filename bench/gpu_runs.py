#!/usr/bin/env python3
"""Training runs on GPU and CPU: milliseconds per sweep, speed-up, agreement, time to accuracy.

Needs nothing but Python and a built altmin. Every run is `altmin train` with a log; numbers are read from the log, so they
are those that any user sees. Leaves runs.csv and runs.json in --out.
"""
import argparse
import csv
import json
import os
import pathlib
import statistics
import struct
import subprocess
import sys
import time

FASHION = pathlib.Path("/usr/share/datasets/fashion-mnist")

# name, data, hidden, sweeps, (backend, precision) ...; the first is what the others are compared with
SHAPES = [
    ("digits 2x100", "digits", "100,100", 60, [("cpu", "fp32"), ("cuda", "fp32"), ("cuda", "tf32")]),
    ("images 3x1500", "images", "1500,1500,1500", 24, [("cuda", "fp32"), ("cuda", "tf32"), ("cuda", "bf16")]),
    ("images 2x1000", "images", "1000,1000", 6, [("cpu", "fp32"), ("cuda", "fp32"), ("cuda", "tf32")]),
    ("images 3x4096", "images", "4096,4096,4096", 12, [("cuda", "tf32"), ("cuda", "bf16")]),
]


def random_images(folder, n=60000, side=28, n_classes=10):
    """Fashion-MNIST's shape in random bytes, for speed alone, as IDX files."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, count in (("train", n), ("t10k", 1000)):
        images = folder / f"{part}-images-idx3-ubyte"
        images.write_bytes(struct.pack(">IIII", 0x803, count, side, side) + os.urandom(count * side * side))
        labels = bytes(i % n_classes for i in range(count))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, count) + labels)
    return str(folder)


def read_log(path):
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    header = next(line for line in lines if line["type"] == "header")
    return header, [line for line in lines if line["type"] == "sweep"]


def train(altmin, log, data, hidden, sweeps, backend, precision, limit, more=()):
    command = [altmin, "train", "--data", data, "--hidden", hidden, "--sweeps", str(sweeps), "--backend", backend,
               "--precision", precision, "--valid", "0", "--seed", "1", "--quiet", "--log", str(log), *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=max(limit, 5))
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip().splitlines()[-1:]}")
    return read_log(log)


def sweep_ms(sweeps):
    """Median over the second half: the first sweeps of a GPU run warm up and record."""
    times = [s["time_s"] for s in sweeps]
    steps = [b - a for a, b in zip(times, times[1:])]
    return 1e3 * statistics.median(steps[len(steps) // 2:])


def agreement(base, other, n=20):
    """Largest relative difference of the objective over the first n sweeps."""
    pairs = [(a["objective"], b["objective"]) for a, b in zip(base[:n], other[:n])]
    return max(abs(a - b) / abs(a) for a, b in pairs if a)


COLUMNS = ["shape", "backend", "precision", "status", "ms_per_sweep", "speed_up", "objective_difference", "objective",
           "train_accuracy", "sweeps", "detail"]


def write(rows, out):
    """After every run: what is measured is kept when time runs out."""
    with open(out / "runs.csv", "w", newline="") as f:
        writer = csv.DictWriter(f, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(rows)
    (out / "runs.json").write_text(json.dumps(rows, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--altmin", required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--seconds", type=float, default=140.0)
    parser.add_argument("--only", help="only shapes whose name holds this")
    args = parser.parse_args()
    end = time.monotonic() + args.seconds
    scratch = args.out / "logs"
    scratch.mkdir(parents=True, exist_ok=True)
    images = str(FASHION) if FASHION.exists() else None
    rows, failures = [], 0
    for shape, data, hidden, sweeps, variants in SHAPES:
        if args.only and args.only not in shape:
            continue
        if data == "images":
            images = images or random_images(args.out / "random-images")
            data = images
        base = None
        for backend, precision in variants:
            left = end - time.monotonic()
            row = {"shape": shape, "backend": backend, "precision": precision}
            rows.append(row)
            if left < 5:
                row["status"] = "no time left"
                write(rows, args.out)
                continue
            log = scratch / f"{shape.replace(' ', '-')}-{backend}-{precision}.jsonl"
            try:
                header, reports = train(args.altmin, log, data, hidden, sweeps, backend, precision, left,
                                        ("--eval-every", str(sweeps)))
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                row["status"] = str(error)[:300]
                failures += 1
                write(rows, args.out)
                continue
            row.update(status="ok", detail=header["backend_detail"], sweeps=len(reports), ms_per_sweep=sweep_ms(reports),
                       objective=reports[-1]["objective"], train_accuracy=reports[-1].get("train_accuracy"))
            if base is None:
                base = (row, reports)
            else:
                row["speed_up"] = base[0]["ms_per_sweep"] / row["ms_per_sweep"]
                row["objective_difference"] = agreement(base[1], reports)
            write(rows, args.out)
            print(json.dumps(row), flush=True)
    return 1 if failures or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
