# shellcheck shell=sh disable=SC2154
# For bench/*/run.sh to source, with root and here set: wrong usage and --help should not wait for a build.

# bench_check SCRIPT ARG...: let the Python script judge its arguments, and end here when they only ask for help.
bench_check() {
    command -v python3 >/dev/null || return 0
    script=$1
    shift
    python3 "$script" --check "$@"
    case " $* " in *" -h "* | *" --help "*) exit 0 ;; esac
}

# bench_build LOG: altmin and citation_features in build/release, quietly; sets build.
bench_build() {
    # shellcheck disable=SC2086  # a list of words
    altmin_install $altmin_build_packages python3 >&2
    build=$root/build/release log=$root/build/$1
    mkdir -p "$root/build"
    if ! bench_compile >"$log" 2>&1; then
        cat "$log" >&2
        exit 1
    fi
}

bench_compile() {
    [ -e "$build/CMakeCache.txt" ] || (cd "$root" && cmake --preset release -DALTMIN_TESTS=OFF) || return
    cmake --build "$build" --target altmin_cli citation_features
}
