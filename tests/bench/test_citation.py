"""bench/citation: features of a graph worked out by hand, what is refused, and the table's JSON."""

import ast
import json
import math
import os
import struct
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TABLE = os.path.join(ROOT, "bench", "citation", "citation.py")


def read_npy(path):
    with open(path, "rb") as file:
        raw = file.read()
    assert raw[:8] == b"\x93NUMPY\x01\x00"
    n_header = struct.unpack_from("<H", raw, 8)[0]
    assert (10 + n_header) % 64 == 0
    header = ast.literal_eval(raw[10:10 + n_header].decode("latin1"))
    values = struct.unpack_from("<%d%s" % (math.prod(header["shape"]), {"<f4": "f", "<i4": "i"}[header["descr"]]),
                                raw, 10 + n_header)
    return header["shape"], values


class Citation(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = scratch.name

    def write(self, name, text):
        with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
            file.write(text)

    def write_set(self, name, svm, edges, train, test):
        for ending, text in ((".svm", svm), (".edges.tsv", edges), (".train.txt", train), (".test.txt", test)):
            self.write(name + ending, text)

    def features(self, name):
        return subprocess.run([os.environ["CITATION_FEATURES"], self.folder, name, self.folder],
                              capture_output=True, text=True)

    def assert_close(self, got, want):
        self.assertEqual(len(got), len(want))
        for i, (g, w) in enumerate(zip(got, want)):
            self.assertAlmostEqual(g, w, delta=2e-6 * max(1, abs(w)), msg=f"value {i}")

    def npy(self, name):
        return read_npy(os.path.join(self.folder, name))

    def test_two_nodes_by_hand(self):
        """Joined nodes 0, 1 and a lone node 2: S = [3/2 1/2; 1/2 3/2] and [2], whose powers are known: with eigenvalues
        2 on (1, 1) and 1 on (1, -1), the power k of the block is [(2^k + 1)/2, (2^k - 1)/2]."""
        self.write_set("pair", "5 1:1\n-2 2:3\n5 1:1 2:1\n", "0\t1\n1\t0\n0\t1\n1\t1\n", "1\n2\n", "0\n")
        self.assertEqual(self.features("pair").returncode, 0)
        self.assertEqual(self.npy("y_train.npy"), ((2,), (-2, 5)))
        self.assertEqual(self.npy("y_test.npy"), ((1,), (5,)))
        same = [(2**k + 1) / 2 for k in (4, 3, 2, 1, 0)]
        other = [(2**k - 1) / 2 for k in (4, 3, 2, 1, 0)]
        node_0 = [v for k in range(5) for v in (same[k], 3 * other[k])]
        node_1 = [v for k in range(5) for v in (other[k], 3 * same[k])]
        node_2 = [v for k in (4, 3, 2, 1, 0) for v in (2.0**k, 2.0**k)]
        for file, expected in (("X_test.npy", [node_0]), ("X_train.npy", [node_1, node_2])):
            shape, values = self.npy(file)
            self.assertEqual(shape, (len(expected), 10))
            self.assert_close(values, sum(expected, []))

    def test_path_of_three_against_dense(self):
        """A path 0 - 1 - 2, whose degrees differ: against S written out, S_01 = 1/sqrt(2 * 3) and so on."""
        self.write_set("path", "0 1:1\n1 2:2\n0 3:-1\n", "1\t0\n2\t1\n", "0\n1\n", "2\n")
        self.assertEqual(self.features("path").returncode, 0)
        off = 1 / math.sqrt(6)
        s = [[1.5, off, 0], [off, 4 / 3, off], [0, off, 1.5]]
        x = [[1, 0, 0], [0, 2, 0], [0, 0, -1]]
        hops = [x]
        for _ in range(4):
            hops.insert(0, [[sum(s[i][k] * hops[0][k][j] for k in range(3)) for j in range(3)] for i in range(3)])
        rows = [[v for hop in hops for v in hop[i]] for i in range(3)]
        for file, expected in (("X_train.npy", rows[0] + rows[1]), ("X_test.npy", rows[2])):
            self.assert_close(self.npy(file)[1], expected)

    def test_bad_files_are_named(self):
        good = ("0 1:1\n1 2:1\n", "0\t1\n", "0\n", "1\n")
        cases = [
            (1, "0\t2\n", "bad.edges.tsv': line 1: '2' is not a node number from 0 to 1"),
            (1, "0\t1\n1\n", "bad.edges.tsv': line 2 holds 1 node numbers instead of 2"),
            (1, "0 1 0\n", "line 1 holds 3 node numbers instead of 2"),
            (2, "x\n", "bad.train.txt': line 1: 'x' is not a node number"),
            (2, "-1\n", "'-1' is not a node number"),
            (2, "99999999999999999999\n", "is not a node number"),
            (3, "\n\n", "bad.test.txt': it holds no node numbers"),
            (0, "red 1:1\nblue 2:1\n", "has the class 'red', which is not a whole number"),
            (0, "", "bad.svm': it is empty"),
        ]
        for where, text, message in cases:
            with self.subTest(message=message):
                files = list(good)
                files[where] = text
                self.write_set("bad", *files)
                done = self.features("bad")
                self.assertEqual(done.returncode, 1)
                self.assertIn(message, done.stderr)

    def table(self, *options):
        return subprocess.run([sys.executable, TABLE, "--altmin", os.environ["ALTMIN"], "--features",
                               os.environ["CITATION_FEATURES"], *options], capture_output=True, text=True,
                              env={**os.environ, "ALTMIN_CITATION_DATA": ""}, cwd=self.folder)

    def write_small_cora(self):
        """Two groups of six nodes with a feature of their own each, joined in a ring."""
        svm = "".join(f"{i % 2} {i % 2 + 1}:1 {i + 3}:1\n" for i in range(12))
        edges = "".join(f"{i}\t{(i + 2) % 12}\n" for i in range(12))
        self.write_set("cora", svm, edges, "0\n1\n2\n3\n", "".join(f"{i}\n" for i in range(4, 12)))

    def test_table_and_json(self):
        self.write_small_cora()
        out = os.path.join(self.folder, "runs.json")
        done = self.table("--data", self.folder, "--dataset", "cora", "--mode", "published", "--seeds", "2", "--sweeps",
                          "30", "--json", out)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"paper +- +- +0\.6640 +0\.7420")
        with open(out, encoding="utf-8") as file:
            runs = json.load(file)
        self.assertEqual([(r["dataset"], r["seed"], r["mode"], r["variant"]) for r in runs],
                         [("cora", seed, "published", variant) for variant in ("none", "nesterov-guarded")
                          for seed in (1, 2)])
        for run in runs:
            self.assertEqual([s["sweep"] for s in run["sweeps"]], list(range(1, 31)))
            self.assertEqual(run["final_test_accuracy"], run["sweeps"][-1]["test_accuracy"])
            self.assertGreater(run["ms_per_sweep"], 0)
            self.assertTrue(math.isfinite(run["sweeps"][-1]["objective"]))
        self.assertNotEqual(runs[0]["sweeps"], runs[2]["sweeps"])
        accuracy_25 = sum(run["sweeps"][24]["test_accuracy"] for run in runs[:2]) / 2
        self.assertRegex(done.stdout, rf"no momentum, backtracking +[0-9.]+ +{accuracy_25:.4f} ")

    def test_missing_data_is_explained(self):
        done = self.table("--dataset", "cora")
        self.assertEqual(done.returncode, 2)
        self.assertIn("'data/citation' lacks cora.svm, cora.edges.tsv, cora.train.txt, cora.test.txt", done.stderr)
        self.assertIn("--data DIR", done.stderr)


if __name__ == "__main__":
    unittest.main()
