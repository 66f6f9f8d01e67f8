#!/bin/sh
# mDLAM's published experiment on the citation networks Cora and Citeseer, altmin beside the paper: builds altmin and
# the 4-hop features, trains over seeds, prints the table. `bench/citation/run.sh --help` lists the options.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$(dirname "$here")")
. "$root/tests/packages.sh"

# Wrong usage and --help should not have to wait for a build.
if command -v python3 >/dev/null; then
    python3 "$here/citation.py" --check "$@"
    case " $* " in *" -h "* | *" --help "*) exit 0 ;; esac
fi

# shellcheck disable=SC2086  # a list of words
altmin_install $altmin_build_packages python3 >&2
build=$root/build/release log=$root/build/citation.log
mkdir -p "$root/build"
{ [ -e "$build/CMakeCache.txt" ] || (cd "$root" && cmake --preset release -DALTMIN_TESTS=OFF); } >"$log" 2>&1 &&
    cmake --build "$build" --target altmin_cli citation_features >>"$log" 2>&1 || { cat "$log" >&2 && exit 1; }
exec python3 "$here/citation.py" --altmin "$build/src/altmin" --features "$build/bench/citation/citation_features" "$@"
