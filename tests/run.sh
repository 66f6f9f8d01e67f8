#!/bin/sh
# Build altmin and run all its tests: first under AddressSanitizer and UBSan, then as released. Ends with ctest's closing
# lines; the exit code is 0 when everything passed.
set -eu
cd "$(dirname "$0")/.."
. tests/packages.sh

usage() {
    cat <<'END'
usage: tests/run.sh [options]
  --no-install      do not install packages
  --no-sanitizers   skip the build with AddressSanitizer and UBSan
  --werror          warnings are errors
  --fuzz SECONDS    then run every fuzzer this long (needs clang)
  -j N              parallel jobs [all cores]
END
}

install=yes sanitizers=yes werror=OFF fuzz_s=0 jobs=$(nproc)
while [ $# -gt 0 ]; do
    case $1 in
    --no-install) install=no ;;
    --no-sanitizers) sanitizers=no ;;
    --werror) werror=ON ;;
    --fuzz) fuzz_s=$2 && shift ;;
    -j) jobs=$2 && shift ;;
    -h | --help) usage && exit 0 ;;
    *) usage >&2 && exit 2 ;;
    esac
    shift
done

# Tests run beside each other: waiting threads must not burn the cores that others need.
export OMP_WAIT_POLICY=passive
failed=""

# The layout is clang-format 14's; another version would see differences where there are none.
check_format() {
    if clang-format --version 2>/dev/null | grep -q 'version 14\.'; then
        git ls-files "*.c" "*.h" | xargs clang-format --dry-run -Werror || failed="$failed format"
    else
        echo "layout not checked: needs clang-format 14"
    fi
}

# build_and_test PRESET: the output goes to the terminal and to a log, whose summary is printed again at the end.
build_and_test() {
    preset=$1 && shift
    cmake --preset "$preset" -DALTMIN_WERROR="$werror" -DALTMIN_TESTS=ON >"build/$preset.configure.log" 2>&1 ||
        { cat "build/$preset.configure.log" && exit 1; }
    cmake --build "build/$preset" -j "$jobs"
    ctest --test-dir "build/$preset" -j "$jobs" --output-on-failure "$@" 2>&1 | tee "build/$preset.ctest.log"
    grep -q '^100% tests passed' "build/$preset.ctest.log" || failed="$failed $preset"
}

run_fuzzers() {
    if ! command -v clang >/dev/null; then
        echo "fuzzers not run: they need clang"
        return
    fi
    cmake --preset fuzz >build/fuzz.configure.log 2>&1 || { cat build/fuzz.configure.log && exit 1; }
    cmake --build build/fuzz -j "$jobs" --target fuzzers
    tests/fuzz/run.sh build/fuzz "$fuzz_s" "$jobs" || failed="$failed fuzz"
}

# shellcheck disable=SC2086  # lists of words
[ "$install" = no ] || altmin_install $altmin_build_packages $altmin_test_packages
# shellcheck disable=SC2086
[ "$install" = no ] || [ "$fuzz_s" = 0 ] || altmin_install $altmin_fuzz_packages
mkdir -p build
check_format
[ "$sanitizers" = no ] || build_and_test debug -LE 'install|timing|slow'
[ "$fuzz_s" = 0 ] || run_fuzzers
build_and_test release

echo
# Names of the tests that failed in a build.
failures() { grep -E '^[[:space:]]*[0-9]+ - .*\(' "build/$1.ctest.log" || true; }
if [ "$sanitizers" = yes ]; then
    failures debug
    echo "sanitizers: $(grep 'tests passed' build/debug.ctest.log)"
fi
failures release
[ -z "$failed" ] || echo "failed:$failed"
grep 'tests passed' build/release.ctest.log
[ -z "$failed" ]
