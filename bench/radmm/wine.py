#!/usr/bin/env python3
"""Residual ADMM beside Adam on Wine Quality (values): the same residual networks, several train/test splits.

    bench/radmm/wine.py --altmin build/release/src/altmin --wine winequality-red.csv

Each split takes a quarter of the wines as test samples (seeds of the shuffle from 3 on: 1 and 2 were looked at to make the lists
below) and holds a fifth of the rest out for validation. For each method and depth, the settings are those of its list with the
smallest mean validation error over the splits; the sweep is the one with the smallest validation error of its run. No choice
looks at a test error, but wines held out in one split are test samples of another. The table has the mean and standard
deviation over splits of the mean squared test error, the mean difference radmm - adam of the same splits with its standard
error (too small: splits share wines), and in how many sweeps of the chosen runs the augmented Lagrangian rose.
"""

import argparse
import json
import math
import os
import random
import statistics
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness

WIDTH = 16
FIRST_SPLIT = 3
EVERY = 5  # sweeps of radmm between two looks at the validation error; Adam's is looked at after every pass
ADAM = [("1e-3", "100"), ("1e-3", "300"), ("3e-3", "100"), ("3e-3", "300"), ("1e-2", "100"), ("1e-2", "300"),
        ("3e-2", "100")]  # rate, passes
# --rho, --nu, --mu: the longer the chain, the smaller each block's share, the larger penalties and ridge have to be.
RADMM = {2: [("30", "3", "0.3"), ("100", "3", "0.3"), ("100", "10", "1")],
         8: [("3", "3", "0.3"), ("30", "10", "1"), ("100", "10", "1")],
         32: [("100", "100", "30"), ("30", "30", "10")]}


def read_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--altmin", required=True)
    parser.add_argument("--wine", required=True, metavar="CSV", help="winequality-red.csv: no header, the quality last")
    parser.add_argument("--splits", type=harness.positive, default=8)
    parser.add_argument("--depths", default="2,8,32", help="blocks, e.g. 2,8,32")
    parser.add_argument("--sweeps", type=harness.positive, default=2000, help="of radmm")
    parser.add_argument("--json", metavar="FILE", help="keep every run")
    args = parser.parse_args()
    args.depths = [harness.positive(d) for d in args.depths.split(",")]
    unknown = [d for d in args.depths if d not in RADMM]
    if unknown:
        parser.error(f"no settings to choose from at {unknown[0]} blocks; there are {', '.join(map(str, RADMM))}")
    return args


def cut(rows, seed, folder):
    """Write one split into `folder`; returns the options that name it."""
    rows = rows[:]
    random.Random(seed).shuffle(rows)
    n_test = len(rows) // 4
    paths = [os.path.join(folder, f"{part}-{seed}.csv") for part in ("train", "test")]
    for path, part in zip(paths, (rows[n_test:], rows[:n_test])):
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(row + "\n" for row in part)
    return ["--data", paths[0], "--test", paths[1], "--task", "regression", "--valid", "0.2"]


def candidates(depth, sweeps):
    """Every setting that is tried, by method: the options of `altmin train`."""
    adam = [["--method", "adam", "--batch", "64", "--rate", rate, "--sweeps", passes] for rate, passes in ADAM]
    radmm = [["--method", "radmm", "--preset", "best", "--rho", rho, "--nu", nu, "--mu", mu, "--sweeps", str(sweeps),
              "--eval-every", str(EVERY)] for rho, nu, mu in RADMM[depth]]
    return {"adam": adam, "radmm": radmm}


def run(args, folder, split, depth, options):
    common = ["--arch", "resnet", "--hidden", f"{depth}x{WIDTH}", "--threads", "1"]
    _, sweeps, result = harness.train(args.altmin, folder, [*split, *common, *options])
    best = result["best"]
    objective = [sweep["objective"] for sweep in sweeps]
    rises = None if "adam" in options else sum(b > a for a, b in zip(objective, objective[1:]))
    return {"valid": best["valid_mse"], "test": best["test_mse"], "sweep": best["sweep"], "rises": rises,
            "train_s": result["train_s"]}


def choose(tried):
    """Of (options, one run a split), the pair with the smallest mean validation error."""
    return min(tried, key=lambda pair: statistics.mean(r["valid"] for r in pair[1]))


def spread(values):
    """Mean and standard deviation (nan of a single value)."""
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else math.nan


def row(depth, chosen):
    """One line of the table."""
    adam, radmm = ([r["test"] for r in chosen[m][1]] for m in ("adam", "radmm"))
    cells = ["%.3f ± %.3f" % spread(values) for values in (adam, radmm)]
    mean, deviation = spread([r - a for r, a in zip(radmm, adam)])
    rises = sum(r["rises"] for r in chosen["radmm"][1])
    return (f"| {depth} | {cells[0]} | {cells[1]} | {mean:+.3f} ± {deviation / math.sqrt(len(adam)):.3f} | {rises} "
            f"| `{' '.join(chosen['adam'][0])}` | `{' '.join(chosen['radmm'][0])}` |")


def main():
    args = read_options()
    os.environ.pop("OPENBLAS_CORETYPE", None)
    with open(args.wine, encoding="utf-8") as file:
        rows = file.read().split()
    print(f"{len(rows)} wines, {args.splits} splits, blocks of {WIDTH}; {json.dumps(harness.now())}\n")
    print("| blocks | adam, test error | radmm, test error | radmm - adam | rises | adam's settings | radmm's settings |\n"
          "|---|---|---|---|---|---|---|", flush=True)
    kept = []
    with tempfile.TemporaryDirectory() as folder:
        splits = [cut(rows, seed, folder) for seed in range(FIRST_SPLIT, FIRST_SPLIT + args.splits)]
        for depth in args.depths:
            chosen = {}
            for method, tried in candidates(depth, args.sweeps).items():
                runs = [(options, [run(args, folder, split, depth, options) for split in splits]) for options in tried]
                chosen[method] = choose(runs)
                kept += [{"depth": depth, "options": options, "splits": r} for options, r in runs]
            print(row(depth, chosen), flush=True)
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(kept, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
