"""Help, version, wrong usage, exit codes and where messages go."""

import json
import re
import unittest

from support import Case, run

VERBS = ["train", "eval", "predict", "info", "monitor"]


class Help(Case):
    def test_top_level(self):
        text = self.ok("help")
        self.assertEqual(text, self.ok("--help"))
        self.assertEqual(text, self.ok("-h"))
        for verb in VERBS:
            self.assertRegex(text, rf"(?m)^  {verb} ")

    def test_verbs(self):
        for verb in VERBS:
            text = self.ok(verb, "--help")
            self.assertEqual(text, self.ok("help", verb))
            self.assertEqual(text, self.ok(verb, "-h"))
            self.assertTrue(text.startswith(f"usage: altmin {verb} "))
            self.assertLessEqual(max(map(len, text.splitlines())), 100)

    def test_every_option_of_the_help_exists(self):
        """No option that --help lists is unknown: given without a value it says so."""
        for verb in VERBS:
            names = re.findall(r"(?m)^  (?:-\w, )?--([a-z-]+) [A-Z]", self.ok(verb, "--help"))
            self.assertGreater(len(names), 0)
            for name in names:
                self.refused(2, verb, "--" + name, says=[f"'--{name}' needs a value"])

    def test_version(self):
        self.assertRegex(self.ok("--version"), r"^altmin \d+\.\d+\.\d+\n$")


class WrongUsage(Case):
    def test_no_verb(self):
        result = run()
        self.assertEqual((result.returncode, result.stdout), (2, ""))
        self.assertIn("usage: altmin", result.stderr)

    def test_unknown_verb(self):
        self.refused(2, "trian", says=["unknown verb 'trian'", "did you mean 'altmin train'?"])
        self.refused(2, "xyzzy", says=["unknown verb 'xyzzy'", "altmin help"])

    def test_unknown_options_suggest_the_nearest(self):
        for wrong, right in [("--swepes", "--sweeps"), ("--hiden", "--hidden"), ("--ouput", "--output"),
                             ("--quite", "--quiet"), ("--eps-flor", "--eps-floor"), ("--hlep", "--help")]:
            self.refused(2, "train", wrong, "1", says=[f"unknown option '{wrong}'", f"did you mean '{right}'?"])
        self.refused(2, "train", "--zzzzzzz", says=["unknown option '--zzzzzzz'", "altmin train --help"])
        self.refused(2, "train", "-z", says=["unknown option '-z'"])

    def test_options_of_another_verb(self):
        self.refused(2, "eval", "m", "--rho", "1", says=["'--rho' belongs to 'altmin train'"])

    def test_missing_values(self):
        self.refused(2, "train", "--sweeps", says=["'--sweeps' needs a value"])
        self.refused(2, "train", "--data", "--sweeps", "3", says=["'--data' needs a value", "'--sweeps' follows"])
        self.refused(2, "train", "--quiet=yes", says=["'--quiet' takes no value"])

    def test_bad_values(self):
        self.refused(2, "train", "--sweeps", "many", says=["sweeps", "'many'"])
        self.refused(2, "train", "--rho=-1", says=["rho", "'-1'"])
        self.refused(2, "train", "--method", "magic", says=["method", "'magic'", "mdlam"])
        self.refused(2, "train", "--hidden", "10,,20", says=["hidden", "layer width"])
        self.refused(2, "train", "--save-every", "soon", says=["--save-every", "'soon'"])
        self.refused(2, "eval", "m", "--data", "digits", "--part", "third", says=["--part", "'third'"])
        self.refused(2, "predict", "m", "--data", "digits", "--format", "xml", says=["--format", "'xml'"])

    def test_operands(self):
        self.refused(2, "train", "digits", says=["unexpected argument 'digits'"])
        self.refused(2, "eval", "--data", "digits", says=["which model?"])
        self.refused(2, "eval", "m", says=["which data?"])
        self.refused(2, "predict", "a", "b", "--data", "digits", says=["unexpected argument 'b'"])

    def test_values_that_look_like_options(self):
        """'=' gives values that begin with dashes; '--' ends the options."""
        self.refused(2, "train", "--sweeps=--3", says=["sweeps", "'--3'"])
        self.refused(1, "eval", "--data", "digits", "--", "--model", says=["--model"])


class Output(Case):
    def test_output_is_checked_before_training(self):
        for path, words in [("no/such/folder/m", "no/such/folder"), (self.dir, "is a folder"), ("", "empty")]:
            message = self.refused(1 if words.startswith("no/") else 2, "train", "--sweeps", 100000, "-o", path)
            self.assertIn(words, message)

    def test_missing_files(self):
        self.refused(1, "train", "--data", "no-such.csv", says=["no-such.csv"])
        self.refused(1, "eval", "no-such-model", "--data", "digits", says=["no-such-model"])
        self.refused(1, "train", "--config", "no-such.json", says=["no-such.json"])
        self.refused(1, "info", "no-such", says=["no-such"])

    def test_full_disk(self):
        for args in [("--version",), ("help",), ("info",), ("train", "--help"),
                     ("train", "--sweeps", "2", "-o", "/dev/null")]:
            with open("/dev/full", "w") as full:
                import subprocess
                from support import ALTMIN
                result = subprocess.run([ALTMIN, *args], stdout=full, stderr=subprocess.PIPE, text=True)
            self.assertEqual(result.returncode, 1, args)
            self.assertIn("cannot write to standard output", result.stderr)


class Info(Case):
    def test_build(self):
        text = self.ok("info")
        self.assertRegex(text, r"(?m)^backends +ref ")
        self.assertRegex(text, r"(?m)^ +cpu ")
        self.assertRegex(text, r"(?m)^OpenBLAS ")
        build = json.loads(self.ok("info", "--json"))
        self.assertEqual(f"altmin {build['version']}\n", self.ok("--version"))
        backend = {b["name"]: b for b in build["backends"]}
        self.assertTrue(backend["ref"]["available"] and backend["cpu"]["available"])
        self.assertGreaterEqual(backend["cpu"]["threads"], 1)
        self.assertIn("mdlam", build["methods"])

    def test_data(self):
        self.assertIn("64 features", self.ok("info", "digits"))
        train = json.loads(self.ok("info", "digits", "--json"))
        test = json.loads(self.ok("info", "digits", "--part", "test", "--json"))
        self.assertEqual(train["n_samples"] + test["n_samples"], 1797)
        self.assertNotEqual(train["fingerprint"], test["fingerprint"])
        for part in (train, test):
            self.assertEqual(part["n_features"], 64)
            self.assertEqual([c["name"] for c in part["classes"]], list("0123456789"))
            self.assertEqual(sum(c["n_samples"] for c in part["classes"]), part["n_samples"])

    def test_model(self):
        model = self.train("--sweeps", "2", "--hidden", "7,5", "--seed", "3")
        self.assertIn("64-7-5-10", self.ok("info", model))
        info = json.loads(self.ok("info", model, "--json"))
        self.assertEqual(info["widths"], [64, 7, 5, 10])
        self.assertEqual(info["n_parameters"], 65 * 7 + 8 * 5 + 6 * 10)
        self.assertEqual((info["seed"], info["method"], info["activation"]), (3, "mdlam", "relu"))

    def test_settings_of_a_model_train_it_again(self):
        model = self.train("--sweeps", "3", "--seed", "5", "--rho", "0.01")
        (self.dir / "again.json").write_text(self.ok("info", model, "--settings"))
        self.ok("train", "--quiet", "--config", "again.json", "-o", "again.safetensors")
        self.assertEqual(model.read_bytes(), (self.dir / "again.safetensors").read_bytes())


if __name__ == "__main__":
    unittest.main()
