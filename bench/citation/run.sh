#!/bin/sh
# mDLAM's published experiment on the citation networks Cora and Citeseer, altmin beside the paper: builds altmin and
# the 4-hop features, trains over seeds, prints the table. `bench/citation/run.sh --help` lists the options.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$(dirname "$here")")
. "$root/tests/packages.sh"
. "$root/bench/build.sh"

bench_check "$here/citation.py" "$@"
bench_build citation.log
exec python3 "$here/citation.py" --altmin "$build/src/altmin" --features "$build/bench/citation/citation_features" "$@"
