"""Train every method with its presets on every data set over seeds; leave methods.json and methods.md. Called by run.sh.

Sizes, networks and targets are the table at the end of datasets.py. Times are those of the log: sweeps alone, without
evaluation. Accuracies are of the true forward pass, at the last sweep; no run is chosen by its test accuracy.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile

import datasets
import harness
from datasets import citation

MINI_BATCH = ("fcam", "sgd", "adam")  # a sweep is a pass over chunks or batches, and paper and best are the same
QUICK = {"sweeps": 6, "passes": 2, "seeds": 1}


def options(argv):
    parser = argparse.ArgumentParser(prog="run.sh", allow_abbrev=False, description="Every method with its presets on every "
                                     "data set: sweeps and seconds to accuracies, final accuracy, monitor's verdict.")
    parser.add_argument("outdir", metavar="OUTDIR", help="where methods.md and methods.json go; made if it is not there")
    datasets.add_options(parser)
    parser.add_argument("--presets", default="paper,best", metavar="NAMES", help="[default %(default)s]")
    parser.add_argument("--seeds", type=harness.positive, default=3, metavar="N", help="train with seeds 1..N [default 3]")
    parser.add_argument("--threads", default="0", metavar="N", help="threads to train with; 0: all cores [default 0]")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK['sweeps']} sweeps and one seed: does it run at all?")
    parser.add_argument("--altmin", metavar="PATH", help="altmin command to run [default: the one just built]")
    parser.add_argument("--features", metavar="PATH", help="citation_features command [default: the one just built]")
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    datasets.complete(args)
    args.presets = args.presets.split(",")
    if args.quick:
        args.seeds = QUICK["seeds"]
    return args


def sizes(args, dataset, method):
    batches = method in MINI_BATCH
    if args.quick:
        return QUICK["passes"] if batches else QUICK["sweeps"]
    return dataset.passes if batches else dataset.sweeps


def own_options(dataset, method, preset):
    """What a paper fixes for this very data set and no preset can know: mDLAM's rho and mu on the graphs."""
    if dataset.kind == "graph" and method == "mdlam" and preset == "paper":
        return ["--rho", citation.PAPER[dataset.name]["rho"], "--mu", "0.05"]
    return []


def reached(sweeps, key, target):
    """Sweep number and training seconds at which the test measure first was at least `target`, or None."""
    for s in sweeps:
        if s[key] is not None and s[key] >= target:
            return {"sweep": s["sweep"], "time_s": s["time_s"]}
    return None


def one_run(args, dataset, data, method, preset, seed, folder):
    command = [*data, "--method", method, "--preset", preset, "--seed", str(seed), "--threads", args.threads,
               "--sweeps", str(sizes(args, dataset, method)),
               "--eval-every", str(1 if args.quick or method in MINI_BATCH else dataset.eval_every),
               *own_options(dataset, method, preset)]
    run = {"dataset": dataset.name, "method": method, "preset": preset, "seed": seed}
    try:
        header, sweeps, result = harness.train(args.altmin, folder, command)
    except harness.Refused as refused:
        return {**run, "refused": str(refused).replace(folder, dataset.name)}, None
    test, train = f"test_{dataset.measure}", f"train_{dataset.measure}"
    last = sweeps[-1] if result["stop"] != "not-finite" else {}
    run.update({
        "measure": dataset.measure, "stop": result["stop"], "n_sweeps": len(sweeps), "widths": header["widths"],
        "n_train": header["data"]["n_train"], "n_test": header["test"]["n_test"],
        "final_train": last.get(train), "final_test": last.get(test), "objective": last.get("objective"),
        "ms_per_sweep": 1e3 * result["train_s"] / max(1, len(sweeps)), "train_s": result["train_s"],
        "to_target": {format(t, "g"): reached(sweeps, test, t) for t in dataset.targets},
        "monitor": result["monitor"], "settings": header["settings"],
        "test_curve": [[s["sweep"], round(s[test], 4)] for s in sweeps if s[test] is not None],
    })
    return run, header


# ---- Markdown


def number(value, digits=3):
    if value is None:
        return "-"
    text = format(value, f".{digits}f")
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def spread(values, digits=3):
    """Mean and standard deviation over seeds; a run that became NaN shows."""
    good = [v for v in values if v is not None]
    if not good:
        return "-"
    text = number(statistics.fmean(good), digits)
    if len(good) > 1:
        text += f" ± {number(statistics.stdev(good), digits)}"
    return text if len(good) == len(values) else f"{text} ({len(good)} of {len(values)} finite)"


def target_cell(runs, target):
    hits = [r["to_target"][format(target, "g")] for r in runs]
    good = [h for h in hits if h]
    if not good:
        return "-"
    text = f"{statistics.median(h['sweep'] for h in good):g} / {statistics.median(h['time_s'] for h in good):.3g} s"
    return text if len(good) == len(hits) else f"{text} ({len(good)} of {len(hits)})"


def extent(values, digits):
    """One number, or the range over seeds."""
    ends = [number(v, digits) for v in (min(values), max(values))]
    return ends[0] if ends[0] == ends[1] else "-".join(ends)


def verdict(monitors):
    """What the monitor said over seeds: each rate class once, with the range of what was measured."""
    said = []
    for rate in dict.fromkeys(m["rate"] for m in monitors):
        of_rate = [m for m in monitors if m["rate"] == rate]
        if rate == "r-linear":
            said.append(f"R-linear {extent([m['rho_objective'] for m in of_rate], 3)}")
        elif rate == "sublinear":
            said.append(f"sublinear, KL {extent([m['theta'] for m in of_rate], 2)}")
        else:
            said.append(rate)
    rises = [m["decrease"][0]["violations"] for m in monitors]
    if any(rises):
        said.append(f"F rose in {extent(rises, 0)} of {max(m['sweeps'] for m in monitors) - 1}")
    return "; ".join(said)


def table(dataset, runs):
    """Lines of a data set's table; one row a method and preset, in the order they ran."""
    what = {"accuracy": "accuracy", "r2": "R²"}[dataset.measure]
    targets = [f"sweeps / time to {number(t, 2)}" for t in dataset.targets]
    head = ["method", "preset", "sweeps", *targets, f"train {what}", f"test {what}", "monitor", "ms per sweep"]
    lines = [f"### {dataset.title}", "", "| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for method, preset in dict.fromkeys((r["method"], r["preset"]) for r in runs):
        of_row = [r for r in runs if (r["method"], r["preset"]) == (method, preset)]
        trained = [r for r in of_row if "refused" not in r]
        if not trained:
            lines.append(f"| {method} | {preset} | refused: {of_row[0]['refused']} |" + " |" * (len(head) - 3))
            continue
        cells = [method, "both" if method in MINI_BATCH else preset, str(max(r["n_sweeps"] for r in trained)),
                 *(target_cell(trained, t) for t in dataset.targets), spread([r["final_train"] for r in trained]),
                 spread([r["final_test"] for r in trained]), verdict([r["monitor"] for r in trained]),
                 f"{statistics.median(r['ms_per_sweep'] for r in trained):.3g}"]
        lines.append("| " + " | ".join(cells) + " |")
    return lines + [""]


def page(args, about, runs, skipped):
    seeds = f"seeds 1-{args.seeds}" if args.seeds > 1 else "seed 1"
    lines = ["# Every method on every data set", ""]
    if about:
        lines += [f"{about['date']}, {about['cpu']}, {about['cores']} cores, {about['threads']} threads, {about['backend']}, "
                  f"altmin {about['version']} at commit {about['commit']}; load average at the start {about['load']} (times mean "
                  "little on a machine that is busy).", ""]
    lines += [f"Mean and standard deviation over {seeds} at the last sweep, by the true forward pass. *sweeps / time to*: median "
              "over the seeds that reach it; a sweep of fcam, sgd and adam is a pass over mini-batches, and images are looked at "
              "every 5 sweeps of the others. Times are training alone. "
              "*monitor*: rate class, with the factor or KL exponent that was measured, and how often the objective rose.", ""]
    if args.quick:
        lines += ["Smoke run (`--quick`): these are not results.", ""]
    for dataset in args.sets:
        of_set = [r for r in runs if r["dataset"] == dataset.name]
        if of_set:
            lines += table(dataset, of_set)
        elif dataset.name in skipped:
            lines += [f"### {dataset.title}", "", f"Skipped: {skipped[dataset.name]}.", ""]
    return "\n".join(lines)


# ---- all runs


def presets_of(args, method):
    return ["best"] if method in MINI_BATCH else args.presets


def of_dataset(args, dataset, methods, folder):
    """Runs of one set and the header of one of them."""
    data, runs, header = dataset.prepare(args, folder, held=False), [], None
    for method in methods:
        for preset in presets_of(args, method):
            for seed in range(1, args.seeds + 1):
                run, found = one_run(args, dataset, data, method, preset, seed, folder)
                header = header or found
                runs.append(run)
            print(f"{dataset.name:<14} {method:<7} {preset:<6} "
                  f"{run.get('refused') or spread([r.get('final_test') for r in runs[-args.seeds:]])}", flush=True)
    return runs, header


def write(args, about, runs, skipped):
    """Both files, anew after every data set: what is there stays when a later run is stopped."""
    os.makedirs(args.outdir, exist_ok=True)
    with open(os.path.join(args.outdir, "methods.json"), "w", encoding="utf-8") as file:
        json.dump({"about": about, "seeds": args.seeds, "quick": args.quick, "skipped": skipped, "runs": runs}, file)
        file.write("\n")
    with open(os.path.join(args.outdir, "methods.md"), "w", encoding="utf-8") as file:
        file.write(page(args, about, runs, skipped))


def main():
    args = options(sys.argv[1:])
    if args.check:
        return
    if not args.altmin or not args.features:
        harness.fail("start me by run.sh, or name both --altmin and --features", 2)
    methods = args.methods.split(",") if args.methods else harness.method_names(args.altmin)
    runs, about, skipped = [], None, {}
    for dataset in args.sets:
        reason = dataset.missing(args)
        if reason:
            skipped[dataset.name] = reason
            print(f"{dataset.name:<14} skipped: {reason}", flush=True)
        else:
            with tempfile.TemporaryDirectory(prefix="altmin-methods-") as folder:
                of_set, header = of_dataset(args, dataset, methods, folder)
            about = about or (header and harness.about(header))
            runs += of_set
        write(args, about, runs, skipped)


if __name__ == "__main__":
    main()
