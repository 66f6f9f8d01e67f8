"""eval and predict against a forward pass written out in Python from the saved file."""

import json
import math
import unittest

from support import Case, DIGITS, Tensors, read_npy, run


class Predict(Case):
    def setUp(self):
        super().setUp()
        self.model = self.train("--sweeps", "60", "--hidden", "16,12", "--seed", "2")

    def test_labels_agree_with_eval(self):
        labels = self.ok("predict", self.model, *DIGITS).splitlines()
        proba = [list(map(float, line.split(","))) for line in self.ok("predict", self.model, *DIGITS, "--proba").splitlines()]
        self.assertEqual(len(labels), len(proba))
        for label, p in zip(labels, proba):
            self.assertEqual(len(p), 10)
            self.assertAlmostEqual(sum(p), 1, places=5)
            self.assertEqual(int(label), p.index(max(p)))
        metrics = json.loads(self.ok("eval", self.model, *DIGITS, "--json"))
        self.assertEqual((metrics["part"], metrics["n_samples"]), ("test", len(labels)))
        train = json.loads(self.ok("eval", self.model, *DIGITS, "--part", "train", "--json"))
        self.assertEqual(train["n_samples"] + metrics["n_samples"], 1797)
        self.assertGreater(train["accuracy"], 0.5)

    def test_forward_pass_from_the_file(self):
        """What the README says about the file is enough to compute with it."""
        self.compare_forward(self.model)
        for width in "12", "64":  # with an input map and without
            self.compare_forward(self.train("--sweeps", "20", "--arch", "resnet", "--method", "adam", "--hidden", f"2x{width}"))

    def compare_forward(self, model):
        t = Tensors(model)
        rows = [[(7 * i + 3 * j) % 17 for j in range(64)] for i in range(20)]
        (self.dir / "x.csv").write_text("\n".join(",".join(map(str, r)) for r in rows) + "\n")
        proba = [list(map(float, line.split(",")))
                 for line in self.ok("predict", model, "--data", "x.csv", "--proba").splitlines()]
        self.assertGreater(max(abs(p - q) for p, q in zip(proba[0], proba[1], strict=True)), 0.01)
        for x, expected in zip(rows, proba, strict=True):
            for got, want in zip(self.forward(t, x), expected, strict=True):
                self.assertAlmostEqual(got, want, places=4)

    def forward(self, t, x):
        _, shift = t.tensor["scaler.shift"]
        _, factor = t.tensor["scaler.factor"]
        a = [(v - s) * f for v, s, f in zip(x, shift, factor, strict=True)]
        n_layers = sum(name.endswith(".weight") for name in t.tensor)
        for l in range(1, n_layers + 1):
            (n_out, n_in), w = t.tensor[f"layer.{l}.weight"]
            _, b = t.tensor[f"layer.{l}.bias"]
            z = [sum(w[i * n_in + j] * a[j] for j in range(n_in)) + b[i] for i in range(n_out)]
            if l == n_layers or (t.meta["arch"] == "resnet" and n_in != n_out):
                a = z
            else:
                h = [max(v, 0) for v in z]
                a = [u + v for u, v in zip(a, h, strict=True)] if t.meta["arch"] == "resnet" else h
        e = [math.exp(v - max(a)) for v in a]
        return [v / sum(e) for v in e]

    def test_npy(self):
        text = [int(v) for v in self.ok("predict", self.model, *DIGITS).splitlines()]
        for args in [["--format", "npy", "-o", "p"], ["-o", "p.npy"]]:
            self.ok("predict", self.model, *DIGITS, *args)
            shape, kind, values = read_npy((self.dir / args[-1]).read_bytes())
            self.assertEqual((shape, kind, values), ((len(text),), "<i8", text))
        data = self.ok("predict", self.model, *DIGITS, "--proba", "--format", "npy", text=False)
        shape, kind, values = read_npy(data)
        self.assertEqual((shape, kind), ((len(text), 10), "<f4"))
        lines = self.ok("predict", self.model, *DIGITS, "--proba").replace("\n", ",").split(",")[:-1]
        for value, line in zip(values, lines, strict=True):
            self.assertAlmostEqual(value, float(line), places=7)

    def test_npy_of_text_labels(self):
        (self.dir / "t.csv").write_text("x,kind\n" + "".join(f"{i % 2},{['no', 'yes'][i % 2]}\n" for i in range(60)))
        self.ok("train", "-q", "--data", "t.csv", "--hidden", "4", "--sweeps", "60", "-o", "t")
        self.ok("predict", "t", "--data", "t.csv", "--label", "-1", "-o", "p.npy")
        shape, kind, values = read_npy((self.dir / "p.npy").read_bytes())
        self.assertEqual((shape, kind), ((60,), "|S3"))
        self.assertEqual(values, self.ok("predict", "t", "--data", "t.csv", "--label", "kind").split())
        self.assertLessEqual(set(values), {"yes", "no"})

    def test_stdin(self):
        rows = "\n".join(",".join(str((i * j) % 16) for j in range(64)) for i in range(9)) + "\n"
        (self.dir / "x.csv").write_text(rows)
        piped = self.ok("predict", self.model, "--data", "-", stdin=rows)
        self.assertEqual(piped, self.ok("predict", self.model, "--data", "x.csv"))
        self.assertEqual(len(piped.splitlines()), 9)

    def test_names(self):
        self.assertEqual(self.ok("predict", self.model, *DIGITS, "--names").splitlines()[0], "label")
        head = self.ok("predict", self.model, *DIGITS, "--names", "--proba").splitlines()[0]
        self.assertEqual(head, ",".join("0123456789"))

    def test_label_column_that_was_not_named(self):
        (self.dir / "x.csv").write_text(",".join(["1"] * 65) + "\n")
        self.refused(1, "predict", self.model, "--data", "x.csv", says=["65", "64", "--label"])
        (self.dir / "x.csv").write_text(",".join(["1"] * 30) + "\n")
        self.refused(1, "predict", self.model, "--data", "x.csv", says=["30", "64"])

    def test_unknown_class_in_eval(self):
        (self.dir / "x.csv").write_text(",".join(["1"] * 64 + ["eleven"]) + "\n")
        self.refused(1, "eval", self.model, "--data", "x.csv", says=["eleven"])

    def test_damaged_models_are_refused(self):
        data = self.model.read_bytes()
        for damage in [data[:-1], data[:100], b"", data + b"x", b"\xff" * len(data), data[8:]]:
            (self.dir / "bad").write_bytes(damage)
            for verb in ("eval", "predict"):
                self.refused(1, verb, "bad", *DIGITS, says=["bad"])

    def test_backends_agree(self):
        ref = self.ok("predict", self.model, *DIGITS, "--proba", "--backend", "ref").replace("\n", ",").split(",")[:-1]
        cpu = self.ok("predict", self.model, *DIGITS, "--proba", "--backend", "cpu").replace("\n", ",").split(",")[:-1]
        for a, b in zip(ref, cpu, strict=True):
            self.assertAlmostEqual(float(a), float(b), places=4)

    def test_backend_that_is_not_there(self):
        build = json.loads(self.ok("info", "--json"))
        cuda = next(b for b in build["backends"] if b["name"] == "cuda")
        if cuda["available"]:
            self.skipTest("this machine has the cuda backend")
        self.refused(1, "eval", self.model, *DIGITS, "--backend", "cuda", says=["cuda"])

    def test_full_disk(self):
        import subprocess
        from support import ALTMIN
        with open("/dev/full", "w") as full:
            result = subprocess.run([ALTMIN, "predict", self.model, *DIGITS], stdout=full, stderr=subprocess.PIPE, text=True)
        self.assertEqual(result.returncode, 1)
        self.assertIn("cannot write", result.stderr)


if __name__ == "__main__":
    unittest.main()
