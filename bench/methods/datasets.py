"""The data sets of the methods benchmark: where each comes from, how it is cut, and what is trained on it.

A set is prepared twice over: with its test samples, for the benchmark, and with a part of the TRAINING samples in their
place, for the search of settings, which must never see the test samples.
"""

import argparse
import gzip
import os
import random
import struct
import sys
from dataclasses import dataclass

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness

sys.path.insert(0, os.path.join(harness.ROOT, "bench", "citation"))
import citation

IMAGES = 10000  # training images used: the first ones
HELD_IMAGES = 10000  # the last of the 60,000, for the search


@dataclass
class DataSet:
    name: str
    title: str
    kind: str  # images, graph, table: what settings are searched for
    targets: tuple  # accuracies (R2 for values) whose sweeps and seconds are reported
    sweeps: int  # of a full-batch method
    passes: int  # of a mini-batch method
    measure: str = "accuracy"
    eval_every: int = 1  # sweeps; where evaluation costs as much as a sweep, targets are seen this late

    def folder(self, args):
        """Where its files are, or None for a set that is embedded."""
        return None

    def missing(self, args):
        """A sentence about the files that are not there, or None."""
        return None

    def prepare(self, args, folder, held):
        """Write what `altmin train` reads into `folder`; returns the options that name it."""
        raise NotImplementedError


class Digits(DataSet):
    def prepare(self, args, folder, held):
        if not held:
            return ["--data", "digits", "--valid", "0"]
        # part of the set's own training samples, drawn by the seed; its accuracy is the log's valid_accuracy
        return ["--data", "digits", "--valid", "0.25"]


def read_idx(path):
    """Dimensions and bytes of an IDX file, compressed or not."""
    found = next((p for p in (path, path + ".gz") if os.path.isfile(p)), None)
    with (gzip.open if found.endswith(".gz") else open)(found, "rb") as file:
        raw = file.read()
    n = 4 + 4 * raw[3]
    return struct.unpack(f">{raw[3]}I", raw[4:n]), raw[n:]


def write_idx(path, dims, raw):
    with open(path, "wb") as file:
        file.write(bytes([0, 0, 8, len(dims)]) + struct.pack(f">{len(dims)}I", *dims) + raw)


class Images(DataSet):
    FILES = tuple(f"{part}-{what}" for part in ("train", "t10k") for what in ("images-idx3-ubyte", "labels-idx1-ubyte"))

    def folder(self, args):
        if self.name == "fashion-mnist":
            return args.fashion
        return os.path.join(args.data, "mnist")

    def missing(self, args):
        folder = self.folder(args)
        lacking = [f for f in self.FILES if not any(os.path.isfile(os.path.join(folder, f + end)) for end in ("", ".gz"))]
        return f"'{folder}' lacks {', '.join(lacking)}" if lacking else None

    def prepare(self, args, folder, held):
        parts = [("train", "train", 0, IMAGES)]
        parts.append(("train", "t10k", 60000 - HELD_IMAGES, 60000) if held else ("t10k", "t10k", 0, 10000))
        for source, out, first, end in parts:
            for what in ("images-idx3-ubyte", "labels-idx1-ubyte"):
                dims, raw = read_idx(os.path.join(self.folder(args), f"{source}-{what}"))
                size = len(raw) // dims[0]
                cut = raw[first * size:end * size]
                write_idx(os.path.join(folder, f"{out}-{what}"), (len(cut) // size, *dims[1:]), cut)
        return ["--data", folder, "--valid", "0"]


class Graph(DataSet):
    def folder(self, args):
        return os.path.join(args.data, "citation")

    def missing(self, args):
        folder = self.folder(args)
        lacking = [self.name + end for end in citation.ENDINGS if not os.path.isfile(os.path.join(folder, self.name + end))]
        return f"'{folder}' lacks {', '.join(lacking)}" if lacking else None

    def prepare(self, args, folder, held):
        source = self.folder(args)
        if held:
            source = self.hold_out(source, folder)
        harness.call([args.features, source, self.name, folder])
        return ["--data", os.path.join(folder, "X_train.npy"), "--test", os.path.join(folder, "X_test.npy"),
                "--scale", "none", "--valid", "0"]

    def hold_out(self, source, folder):
        """A copy of the set in `folder` whose test nodes are 1,000 that are neither training nor test nodes of the real one."""
        path = lambda where, end: os.path.join(where, self.name + end)
        read = lambda end: open(path(source, end), encoding="utf-8").read()
        nodes = len(read(".svm").splitlines())
        taken = {int(n) for end in (".train.txt", ".test.txt") for n in read(end).split()}
        free = [n for n in range(nodes) if n not in taken]
        chosen = sorted(random.Random(1).sample(free, 1000))
        for end in citation.ENDINGS:
            text = "".join(f"{n}\n" for n in chosen) if end == ".test.txt" else read(end)
            with open(path(folder, end), "w", encoding="utf-8") as file:
                file.write(text)
        return folder


class Wine(DataSet):
    FILE = "winequality-red.csv"

    def folder(self, args):
        return os.path.join(args.data, "wine")

    def missing(self, args):
        folder = self.folder(args)
        return None if os.path.isfile(os.path.join(folder, self.FILE)) else f"'{folder}' lacks {self.FILE}"

    def prepare(self, args, folder, held):
        """A fifth of the wines, drawn once, is the test part; for the search a quarter of the others stands in for it."""
        with open(os.path.join(self.folder(args), self.FILE), encoding="utf-8") as file:
            lines = [line.replace(";", ",") + "\n" for line in file.read().splitlines()]
        head, rows = (lines[:1], lines[1:]) if not lines[0][0].isdigit() else ([], lines)
        random.Random(1).shuffle(rows)
        n_test = len(rows) // 5
        test, train = rows[:n_test], rows[n_test:]
        if held:
            test, train = train[:len(train) // 4], train[len(train) // 4:]
        for name, part in (("train", train), ("test", test)):
            with open(os.path.join(folder, name + ".csv"), "w", encoding="utf-8") as file:
                file.writelines(head + part)
        return ["--data", os.path.join(folder, "train.csv"), "--test", os.path.join(folder, "test.csv"),
                "--task", "regression", "--valid", "0"]


GRAPH_TARGETS = {"cora": (0.70, 0.75, 0.78), "citeseer": (0.55, 0.60, 0.65)}
ALL = [
    Digits("digits", "digits: 1,437 samples, 64-100-100-10", "images", (0.80, 0.90, 0.95), 200, 60),
    Images("mnist", "MNIST: first 10,000 samples, 784-100-100-10", "images", (0.80, 0.85, 0.90), 100, 10, eval_every=5),
    Images("fashion-mnist", "Fashion-MNIST: first 10,000 samples, 784-100-100-10", "images", (0.70, 0.80, 0.83), 100, 10,
           eval_every=5),
    Graph("cora", "Cora: 140 nodes, 4-hop features, 7165-100-100-7", "graph", GRAPH_TARGETS["cora"], 200, 200),
    Graph("citeseer", "Citeseer: 120 nodes, 4-hop features, 18515-100-100-6", "graph", GRAPH_TARGETS["citeseer"], 200, 200),
    Wine("wine", "Wine Quality (red): 1,280 samples, values, 11-100-100-1", "table", (0.20, 0.30, 0.35), 200, 100,
         measure="r2"),
]


def add_options(parser):
    """Options that say where data are; both scripts take them."""
    parser.add_argument("--data", metavar="DIR", help="folder with mnist/ (IDX files), citation/ (see bench/citation) and "
                        "wine/winequality-red.csv, any of which may be absent [default: $ALTMIN_BENCH_DATA, else ./data]")
    parser.add_argument("--fashion", metavar="DIR", default="/usr/share/datasets/fashion-mnist",
                        help="folder with Fashion-MNIST's IDX files [default %(default)s]")
    parser.add_argument("--only", metavar="NAMES", help="comma-separated data sets [default: all that are there]")
    parser.add_argument("--methods", metavar="NAMES", help="comma-separated methods [default: all that altmin has]")


def complete(args):
    """Fill in defaults; the chosen data sets as args.sets."""
    args.data = args.data or os.environ.get("ALTMIN_BENCH_DATA") or "data"
    names = [s.name for s in ALL]
    wanted = args.only.split(",") if args.only else names
    unknown = [name for name in wanted if name not in names]
    if unknown:
        harness.fail(f"no data set is called '{unknown[0]}'; there are {', '.join(names)}", 2)
    args.sets = [s for s in ALL if s.name in wanted]


def main():
    """Write one set as the benchmark trains on it, to run `altmin train` on by hand; prints the options that name it."""
    parser = argparse.ArgumentParser(prog="datasets.py", allow_abbrev=False, description=main.__doc__)
    parser.add_argument("name", choices=[s.name for s in ALL])
    parser.add_argument("folder", metavar="FOLDER", help="where the files go; made if it is not there")
    parser.add_argument("--held", action="store_true", help="held-out training samples in place of the test samples")
    parser.add_argument("--features", metavar="PATH", help="citation_features command, for the graphs")
    add_options(parser)
    args = parser.parse_args()
    complete(args)
    dataset = next(s for s in ALL if s.name == args.name)
    reason = dataset.missing(args)
    if reason:
        harness.fail(reason)
    os.makedirs(args.folder, exist_ok=True)
    print(" ".join(dataset.prepare(args, args.folder, args.held)))


if __name__ == "__main__":
    main()
