"""Ctrl-C, SIGTERM and SIGKILL: what is on disk afterwards is whole."""

import json
import os
import random
import signal
import subprocess
import time
import unittest

from support import ALTMIN, Case, DIGITS, Tensors

LONG = ["--sweeps", "1000000000", "--hidden", "16"]


class Interrupt(Case):
    def start(self, *args):
        """Start training and wait until sweeps are being done."""
        log = self.dir / "run.jsonl"
        log.unlink(missing_ok=True)
        process = subprocess.Popen([ALTMIN, "train", *DIGITS, *args, "--log", log, "-o", "m"], cwd=self.dir,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.kill)
        deadline = time.monotonic() + 60
        while not log.exists() or log.read_text().count("\n") < 4:
            self.assertIsNone(process.poll(), "training ended by itself")
            self.assertLess(time.monotonic(), deadline, "training does not begin")
            time.sleep(0.01)
        return process

    def test_first_finishes_the_sweep_and_saves(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            process = self.start(*LONG)
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
            self.assertEqual(process.returncode, 0, err)
            self.assertIn("finishing this sweep", err)
            self.assertRegex(out, r"(?m)^stopped .*interrupted")
            self.assertRegex(out, r"(?m)^wrote +m \(")
            self.assertEqual(json.loads((self.dir / "run.jsonl").read_text().splitlines()[-1])["stop"], "interrupted")
            Tensors(self.dir / "m")
            (self.dir / "m").unlink()

    def test_second_stops_now(self):
        """Sweeps of seconds: the second signal does not wait for one, and what was finished is saved."""
        process = self.start("--sweeps", "1000000000", "--hidden", "64", "--backend", "ref")
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        while "finishing" not in process.stderr.readline():
            self.assertLess(time.monotonic(), started + 30)
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)
        # The first may have ended the run in the meantime: then it ended in order.
        self.assertIn(process.returncode, (0, 130))
        Tensors(self.dir / "m")
        self.assertEqual(sorted(os.listdir(self.dir)), ["m", "run.jsonl"])


class Kill(Case):
    ROUNDS = 50

    def start(self):
        process = subprocess.Popen([ALTMIN, "train", "-q", *DIGITS, *LONG, "--hidden", "200,200", "--save-every", "0.0001",
                                    "-o", "m"], cwd=self.dir)
        self.addCleanup(process.kill)
        return process

    def test_kill_never_damages_the_model(self):
        """SIGKILL at random moments of a run that saves all the time: the model file is absent before the first save,
        later always whole; a file from before the run stays until it is replaced by a whole one."""
        rng = random.Random(20240607)
        path = self.dir / "m"
        started = time.monotonic()
        process = self.start()
        while not path.exists():  # how long a run takes here until its first save
            self.assertLess(time.monotonic(), started + 60, "no save")
            time.sleep(0.005)
        first_save_s = time.monotonic() - started
        process.kill()
        process.wait()
        path.unlink()
        n_whole = 0
        for _ in range(self.ROUNDS):
            process = self.start()
            time.sleep(rng.uniform(0, 2 * first_save_s + 0.2))
            process.kill()
            process.wait()
            if path.exists():
                Tensors(path)
                result = subprocess.run([ALTMIN, "info", "m"], cwd=self.dir, capture_output=True, text=True)
                self.assertEqual(result.returncode, 0, result.stderr)
                n_whole += 1
            if rng.random() < 0.3:  # often begin without a file
                path.unlink(missing_ok=True)
        self.assertGreater(n_whole, self.ROUNDS // 4, "too few runs lived long enough to save")


if __name__ == "__main__":
    unittest.main()
