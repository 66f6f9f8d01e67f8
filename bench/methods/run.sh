#!/bin/sh
# Every method with its presets on every data set: builds altmin, trains over seeds, leaves methods.md and methods.json in
# OUTDIR. `bench/methods/run.sh OUTDIR`; `--help` lists the options, `--quick` is a smoke run.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$(dirname "$here")")
. "$root/tests/packages.sh"
. "$root/bench/build.sh"

bench_check "$here/methods.py" "$@"
bench_build methods.log
exec python3 "$here/methods.py" --altmin "$build/src/altmin" --features "$build/bench/citation/citation_features" "$@"
