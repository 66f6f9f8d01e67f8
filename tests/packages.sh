# shellcheck shell=sh disable=SC2034
# Debian and Ubuntu packages, for scripts to source: altmin_install NAME... installs what is missing when that is
# allowed (as root, or by sudo without a password) and otherwise says what to type.

altmin_build_packages="gcc libc6-dev cmake ninja-build libopenblas-openmp-dev libcjson-dev zlib1g-dev librandom123-dev"
altmin_test_packages="libcmocka-dev python3 pkg-config g++ git"
altmin_fuzz_packages="clang libclang-rt-dev libomp-dev"

# Those of the packages $@ that are not installed.
altmin_missing() {
    for package in "$@"; do
        dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -q '^install ok installed' || printf '%s ' "$package"
    done
}

altmin_install() {
    if ! command -v dpkg-query >/dev/null; then
        echo "This system has no dpkg; needed are what Debian calls: $*" >&2
        return 0 # cmake will name what it misses
    fi
    missing=$(altmin_missing "$@")
    [ -z "$missing" ] && return 0
    if [ "$(id -u)" = 0 ]; then
        as_root="env"
    elif sudo -n true 2>/dev/null; then
        as_root="sudo -n env"
    else
        echo "Packages are missing and installing them takes root. Type this, then run the script again:" >&2
        echo "    sudo apt-get install $missing" >&2
        return 1
    fi
    echo "installing: $missing"
    log=$(mktemp)
    # shellcheck disable=SC2086  # lists of words
    if $as_root DEBIAN_FRONTEND=noninteractive apt-get -q update </dev/null >"$log" 2>&1 &&
        $as_root DEBIAN_FRONTEND=noninteractive apt-get -q install --no-install-recommends -y $missing \
            </dev/null >>"$log" 2>&1; then
        rm -f "$log"
        return 0
    fi
    tail -n 20 "$log" >&2
    rm -f "$log"
    echo "apt-get could not install them. By hand: apt-get install $missing" >&2
    return 1
}
