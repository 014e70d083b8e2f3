# shellcheck shell=bash
# need.sh: shared functions of the scripts: messages, and installation of the tools that they need.
#
#   . "$(dirname "${BASH_SOURCE[0]}")/lib/need.sh"
#   need redis-server jq cc    # installs the Debian packages of missing commands
#   need_cargo                 # Rust must be installed by the user
#
# Messages for people go to stderr; stdout is for data.

need_lib=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# Colours only on a terminal, and only unless the user disabled them.
if [[ -t 2 && -z "${NO_COLOR:-}" && "${TERM:-dumb}" != dumb ]]; then
    bold=$'\033[1m' red=$'\033[31m' green=$'\033[32m' plain=$'\033[0m'
else
    bold='' red='' green='' plain=''
fi

say() { printf '%s\n' "$*" >&2; }
section() { say "${bold}== $*${plain}"; }
good() { say "${green}$*${plain}"; }
bad() { say "${red}$*${plain}"; }

# complain MESSAGE [HINT]: prints an error in the format of all rrr tools.
complain() {
    say "${0##*/}: $1"
    if [[ -n "${2:-}" ]]; then say "hint: $2"; fi
}
die() { complain "$@"; exit 1; }
bad_usage() { complain "$1" "${0##*/} --help"; exit 2; }

# now_ms: the time in milliseconds. The decimal separator of EPOCHREALTIME depends on the locale.
now_ms() { local t=${EPOCHREALTIME/[.,]/}; echo $((t / 1000)); }
# since START_MS: the elapsed time, as `12.3 s`.
since() { local ms=$(($(now_ms) - $1)); printf '%d.%d s' $((ms / 1000)) $((ms % 1000 / 100)); }

# have COMMAND: checks whether a command or library is installed.
have() {
    case $1 in
        # Valkey is a compatible server; the tools look for both.
        redis-server) type -P redis-server >/dev/null || type -P valkey-server >/dev/null ;;
        redis-cli) type -P redis-cli >/dev/null || type -P valkey-cli >/dev/null ;;
        # The module must be installed for Debian's Python, not for another Python on PATH.
        junitparser) /usr/bin/python3 -c 'import junitparser' 2>/dev/null ;;
        prometheus_client) /usr/bin/python3 -c 'import prometheus_client' 2>/dev/null ;;
        venv) /usr/bin/python3 -c 'import ensurepip' 2>/dev/null ;;
        xdist) /usr/bin/python3 -c 'import xdist' 2>/dev/null ;;
        # Ruby gems.
        grpc | simplecov) type -P gem >/dev/null && gem list --installed "^$1\$" >/dev/null ;;
        # Debian keeps the server's programs outside PATH; the tests look there too.
        initdb) type -P initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null ;;
        *) type -P "$1" >/dev/null ;;
    esac
}

# package_of COMMAND: the Debian package that contains it.
package_of() {
    case $1 in
        bundle) echo ruby-bundler ;;
        cc) echo build-essential ;; # for the crate `ring` and as rustc's linker
        junitparser) echo python3-junitparser ;;
        prometheus_client) echo python3-prometheus-client ;;
        dpkg-shlibdeps) echo dpkg-dev ;;
        cmp | diff) echo diffutils ;;
        grpc | simplecov) echo "ruby-$1" ;;
        go) echo golang-go ;;
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

# need COMMAND...: installs the packages of missing commands, or explains how to.
need() {
    local command packages=() as_root=()
    for command; do
        have "$command" || packages+=("$(package_of "$command")")
    done
    ((${#packages[@]})) || return 0

    if ! have apt-get; then
        die "not installed: ${packages[*]} (Debian package names)" \
            'install them with the package manager of this system, then try again'
    fi
    if ((EUID != 0)); then
        if ! have sudo; then
            die "not installed: ${packages[*]}; only root can install them" \
                "as root: apt-get install --no-install-recommends ${packages[*]}"
        fi
        as_root=(sudo)
    fi
    say "installing ${packages[*]}"
    "${as_root[@]}" bash "$need_lib/install-packages" "${packages[@]}" ||
        die "could not install ${packages[*]}" \
            "try: apt-get install --no-install-recommends ${packages[*]}"

    # Report a package without the command now; a later failure would be harder to understand.
    for command; do
        have "$command" || die "installed $(package_of "$command"), but '$command' is still not on PATH"
    done
}

# need_cargo: finds Rust, also in rustup's folder if no login shell has added it to PATH.
need_cargo() {
    PATH=$PATH:${CARGO_HOME:-${HOME:-/root}/.cargo}/bin
    if ! have cargo; then
        die "cargo is not on PATH" 'install Rust with rustup, then try again'
    fi
    if ! cargo --version >/dev/null; then
        die "cargo does not work" 'choose a toolchain: rustup default stable'
    fi
}
