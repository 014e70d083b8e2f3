# shellcheck shell=bash
# need.sh: what the scripts share: words for people, and the tools that must be on the machine.
#
#   . "$(dirname "${BASH_SOURCE[0]}")/lib/need.sh"
#   need redis-server jq cc    # installs the Debian packages of the commands that are absent
#   need_cargo                 # Rust itself is the one thing that we ask for
#
# Everything for people goes to stderr: stdout belongs to data.

need_lib=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# Colour only for a terminal that wants it.
if [[ -t 2 && -z "${NO_COLOR:-}" && "${TERM:-dumb}" != dumb ]]; then
    bold=$'\033[1m' red=$'\033[31m' green=$'\033[32m' plain=$'\033[0m'
else
    bold='' red='' green='' plain=''
fi

say() { printf '%s\n' "$*" >&2; }
section() { say "${bold}== $*${plain}"; }
good() { say "${green}$*${plain}"; }
bad() { say "${red}$*${plain}"; }

# complain MESSAGE [HINT]: the error in the form of every tool of the suite.
complain() {
    say "${0##*/}: $1"
    if [[ -n "${2:-}" ]]; then say "hint: $2"; fi
}
die() { complain "$@"; exit 1; }
bad_usage() { complain "$1" "${0##*/} --help"; exit 2; }

# Milliseconds of the clock. The radix of EPOCHREALTIME follows the locale.
now_ms() { local t=${EPOCHREALTIME/[.,]/}; echo $((t / 1000)); }
# since START_MS: the time that has passed, as `12.3 s`.
since() { local ms=$(($(now_ms) - $1)); printf '%d.%d s' $((ms / 1000)) $((ms % 1000 / 100)); }

# have COMMAND: whether the machine can already run it.
have() {
    case $1 in
        # Valkey is the same server under another name; the tools look for both.
        redis-server) type -P redis-server >/dev/null || type -P valkey-server >/dev/null ;;
        redis-cli) type -P redis-cli >/dev/null || type -P valkey-cli >/dev/null ;;
        # A module that Debian's own Python loads, not one of another Python on PATH.
        junitparser) /usr/bin/python3 -c 'import junitparser' 2>/dev/null ;;
        prometheus_client) /usr/bin/python3 -c 'import prometheus_client' 2>/dev/null ;;
        venv) /usr/bin/python3 -c 'import ensurepip' 2>/dev/null ;;
        xdist) /usr/bin/python3 -c 'import xdist' 2>/dev/null ;;
        # Libraries of Ruby.
        grpc | simplecov) type -P gem >/dev/null && gem list --installed "^$1\$" >/dev/null ;;
        # Debian keeps the server's programs off PATH; the tests look there too.
        initdb) type -P initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null ;;
        *) type -P "$1" >/dev/null ;;
    esac
}

# package_of COMMAND: the Debian package that brings it.
package_of() {
    case $1 in
        bundle) echo ruby-bundler ;;
        cc) echo build-essential ;; # the crate `ring` and the linker of rustc
        junitparser) echo python3-junitparser ;;
        prometheus_client) echo python3-prometheus-client ;;
        dpkg-shlibdeps) echo dpkg-dev ;;
        cmp | diff) echo diffutils ;;
        grpc | simplecov) echo "ruby-$1" ;;
        initdb) echo postgresql ;;
        pytest) echo python3-pytest ;;
        venv) echo python3-venv ;;
        xdist) echo python3-pytest-xdist ;;
        redis-benchmark) echo redis-tools ;;
        redis-cli) echo redis-tools ;;
        rspec) echo ruby-rspec ;;
        pgrep | ps) echo procps ;;
        flock | setpriv | setsid | unshare) echo util-linux ;;
        systemd-analyze) echo systemd ;;
        xmllint) echo libxml2-utils ;;
        *) echo "$1" ;;
    esac
}

# need COMMAND...: install the packages of the commands that are absent, or say how.
need() {
    local command packages=() as_root=()
    for command; do
        have "$command" || packages+=("$(package_of "$command")")
    done
    ((${#packages[@]})) || return 0

    if ! have apt-get; then
        die "not installed: ${packages[*]} (names of Debian's packages)" \
            'install them with the package manager of this system, then run this again'
    fi
    if ((EUID != 0)); then
        if ! have sudo; then
            die "not installed: ${packages[*]}, and only root may install them" \
                "as root: apt-get install --no-install-recommends ${packages[*]}"
        fi
        as_root=(sudo)
    fi
    say "installing ${packages[*]}"
    "${as_root[@]}" bash "$need_lib/install-packages" "${packages[@]}" ||
        die "could not install ${packages[*]}" \
            "try: apt-get install --no-install-recommends ${packages[*]}"

    # A package that installs but does not bring its command would fail later, and less clearly.
    for command; do
        have "$command" || die "installed $(package_of "$command"), but '$command' is still not on PATH"
    done
}

# need_cargo: find Rust, also where rustup puts it when no login shell has set PATH.
need_cargo() {
    PATH=$PATH:${CARGO_HOME:-${HOME:-/root}/.cargo}/bin
    if ! have cargo; then
        die "cargo is not on PATH" 'install Rust with rustup, then run this again'
    fi
    if ! cargo --version >/dev/null; then
        die "cargo does not run" 'choose a toolchain: rustup default stable'
    fi
}
