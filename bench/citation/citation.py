"""Train on citation networks over seeds and print the mDLAM paper's curve beside altmin's. Called by run.sh."""

import argparse
import json
import os
import statistics
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness

SHOWN = (20, 25, 40, 200)  # sweeps in the table
# Settings and results of Wang, Li, Zhao (Neurocomputing 2022): mDLAM, 200 epochs, width 100, on a Xeon Silver 4110.
PAPER = {
    "cora": {"rho": "1e-3", "accuracy": {40: 0.664, 200: 0.742}, "ms": 180},
    "citeseer": {"rho": "5e-3", "accuracy": {40: 0.640, 200: 0.668}, "ms": 500},
}
COMMON = ["--valid", "0", "--scale", "none", "--mu", "0.05", "--hidden", "100,100", "--activation", "relu"]
# What the paper fixes beyond COMMON; said here so that it stays when altmin's own defaults move on.
PUBLISHED = ["--step", "backtracking", "--init", "paper", "--init-scale", "0.1",
             "--eps-start", "100", "--eps-factor", "0.5", "--eps-floor", "1e-3"]
# Rows of the table in each mode: what the JSON calls it, what the table calls it, options of `altmin train`.
VARIANTS = {
    "default": [("default", "altmin, its defaults", [])],
    "published": [
        ("none", "altmin as the public script runs: no momentum, backtracking",
         ["--accel", "none", *PUBLISHED]),
        ("nesterov-guarded", "altmin as the paper says: momentum, backtracking",
         ["--accel", "nesterov-guarded", *PUBLISHED]),
    ],
}
ENDINGS = (".svm", ".edges.tsv", ".train.txt", ".test.txt")


def options(argv):
    parser = argparse.ArgumentParser(
        prog="run.sh", allow_abbrev=False, description="mDLAM's citation experiments: the paper's curve beside altmin's.")
    parser.add_argument("--data", metavar="DIR", help="folder with NAME.svm, NAME.edges.tsv, NAME.train.txt and "
                        "NAME.test.txt for NAME cora, citeseer [default: $ALTMIN_CITATION_DATA, else ./data/citation]")
    parser.add_argument("--dataset", choices=[*PAPER, "all"], default="all", help="[default all]")
    parser.add_argument("--seeds", type=harness.positive, default=5, metavar="N", help="train with seeds 1..N [default 5]")
    parser.add_argument("--mode", choices=list(VARIANTS), default="default", help="default: altmin's own choices; "
                        "published: the paper's step rule, without and with its momentum [default default]")
    parser.add_argument("--sweeps", type=harness.positive, default=200, metavar="N", help="[default 200]")
    parser.add_argument("--threads", default="0", metavar="N", help="threads to train with; 0: all cores [default 0]")
    parser.add_argument("--json", metavar="FILE", help="also write every run's curve")
    parser.add_argument("--altmin", metavar="PATH", help="altmin command to run [default: the one just built]")
    parser.add_argument("--features", metavar="PATH", help="citation_features command [default: the one just built]")
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    args.data = args.data or os.environ.get("ALTMIN_CITATION_DATA") or os.path.join("data", "citation")
    args.names = list(PAPER) if args.dataset == "all" else [args.dataset]
    return args


def check_data(args):
    wanted = [name + ending for name in args.names for ending in ENDINGS]
    missing = [file for file in wanted if not os.path.isfile(os.path.join(args.data, file))]
    if missing:
        harness.fail(f"'{args.data}' lacks {', '.join(missing)}. Name the folder by --data DIR or ALTMIN_CITATION_DATA. For each "
             "network it must hold NAME.svm (LIBSVM, a line a node: class, features), NAME.edges.tsv (two node numbers "
             "a line, from 0), NAME.train.txt and NAME.test.txt (a node number a line)", 2)


def train(args, folder, name, seed, extra):
    """One run; returns the fields of the JSON that the run decides."""
    try:
        _, sweeps, result = harness.train(args.altmin, folder, [
            "--data", os.path.join(folder, "X_train.npy"), "--test", os.path.join(folder, "X_test.npy"), *COMMON,
            "--rho", PAPER[name]["rho"], "--sweeps", str(args.sweeps), "--eval-every", "1", "--seed", str(seed),
            "--threads", args.threads, *extra])
    except harness.Refused as refused:
        harness.fail(f"{name}, seed {seed}: {refused}")
    if len(sweeps) != args.sweeps:
        harness.fail(f"{name}, seed {seed}: {len(sweeps)} of {args.sweeps} sweeps: {result.get('detail') or result}")
    return {
        "final_test_accuracy": sweeps[-1]["test_accuracy"],
        "ms_per_sweep": 1e3 * sweeps[-1]["time_s"] / len(sweeps),
        "sweeps": [{key: r[key] for key in ("sweep", "test_accuracy", "objective")} for r in sweeps],
    }


def mean_at(runs, sweep):
    if sweep > len(runs[0]["sweeps"]):
        return None
    return statistics.fmean(run["sweeps"][sweep - 1]["test_accuracy"] for run in runs)


def row(title, accuracy, ms, spread=None):
    cells = "".join(f"{'-' if accuracy[k] is None else format(accuracy[k], '.4f'):>9}" for k in SHOWN)
    print(f"  {title:<60}{cells}{'' if spread is None else format(spread, '.4f'):>9}{ms:>10.1f}", flush=True)


def show(title, runs):
    last = [run["final_test_accuracy"] for run in runs]
    row(title, {k: mean_at(runs, k) for k in SHOWN}, statistics.median(run["ms_per_sweep"] for run in runs),
        statistics.stdev(last) if len(last) > 1 else 0.0)


def experiment(args, name, folder):
    harness.call([args.features, args.data, name, folder])
    print(f"{name}: test accuracy after sweep, mean of seeds 1-{args.seeds} (rho {PAPER[name]['rho']}, mu 0.05, two "
          "hidden layers of 100, full batch)")
    print(f"  {'':<60}" + "".join(f"{k:>9}" for k in SHOWN) + f"{'std':>9}{'ms/sweep':>10}")
    row("paper", {k: PAPER[name]["accuracy"].get(k) for k in SHOWN}, PAPER[name]["ms"])
    runs = []
    for variant, title, extra in VARIANTS[args.mode]:
        of_variant = [{"dataset": name, "seed": seed, "mode": args.mode, "variant": variant,
                       **train(args, folder, name, seed, extra)} for seed in range(1, args.seeds + 1)]
        show(title, of_variant)
        runs += of_variant
    return runs


def main():
    args = options(sys.argv[1:])
    check_data(args)
    if args.check:
        return
    if not args.altmin or not args.features:
        harness.fail("start me by run.sh, or name both --altmin and --features", 2)
    runs = []
    for name in args.names:
        with tempfile.TemporaryDirectory(prefix="altmin-citation-") as folder:
            runs += experiment(args, name, folder)
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(runs, file)
            file.write("\n")


if __name__ == "__main__":
    main()
