#!/bin/sh
# Run every fuzzer for some seconds: tests/fuzz/run.sh BUILD_DIR SECONDS [JOBS]. A finding is kept in
# BUILD_DIR/findings/; the exit code is 0 when there was none.
set -eu
build=$(cd "$1" && pwd) seconds=$2 jobs=${3:-1}
here=$(cd "$(dirname "$0")" && pwd)
export build seconds here
mkdir -p "$build/findings"

# shellcheck disable=SC2016  # the inner shell expands
find "$build/tests/fuzz" -maxdepth 1 -type f -name 'fuzz_*' -perm -u+x | sort | xargs -P "$jobs" -I{} sh -c '
    name=$(basename {} | sed s/^fuzz_//) seeds=""
    corpus="$build/corpus/$name" log="$build/findings/$name.log"
    mkdir -p "$corpus"
    [ -d "$here/seeds/$name" ] && seeds="$here/seeds/$name"
    if {} -max_total_time="$seconds" -timeout=10 -max_len=8192 -print_final_stats=1 \
        -artifact_prefix="$build/findings/$name-" "$corpus" $seeds >"$log" 2>&1; then
        echo "fuzz $name: nothing found in $(sed -n "s/^stat::number_of_executed_units: *//p" "$log") runs"
    else
        echo "fuzz $name: FAILED, see $log" && tail -n 30 "$log" && exit 1
    fi'
