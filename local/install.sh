#!/usr/bin/env bash
# Installs what pip cannot: a Python that makes virtual environments, and a browser for tests of pages. Database servers
# need no installing (local/unpacking.py).
#
#   local/install.sh python             installs it where it is missing; silent where it is not
#   local/install.sh python browser     and Debian's chromium
#   local/install.sh python shells      and shells beside bash, zsh and fish
#   local/install.sh find-python        prints the Python to use: the first of at least 3.11, or $PYTHON
set -euo pipefail

readonly oldest_python=3.11

main() {
    if [[ "${1:-}" == find-python ]]; then
        find_python
        return
    fi
    local missing=() need
    for need in "$@"; do
        case "$need" in
            python) has_python || missing+=("$(name_python_package)") ;;
            browser) command -v chromium >/dev/null || missing+=(chromium) ;;
            shells) for need in zsh fish; do command -v "$need" >/dev/null || missing+=("$need"); done ;;
            *) stop "local/install.sh: unknown: $need" ;;
        esac
    done
    if [[ ${#missing[@]} -gt 0 ]]; then
        install_packages "${missing[@]}"
    fi
}

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.14}; do
        if is_new_enough "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    stop "dynaurora needs Python $oldest_python or newer; install it, or name it: make PYTHON=/path/to/python3"
}

is_new_enough() {
    "$1" -c "import sys; sys.exit(sys.version_info < (${oldest_python/./, }))" 2>/dev/null
}

# A Python without `ensurepip` (Debian packages it apart) makes environments that hold no pip.
has_python() {
    local python
    python=$(find_python) || exit 1
    "$python" -c "import ensurepip, venv" 2>/dev/null
}

name_python_package() {
    "$(find_python)" -c "import sys; print('python{}.{}-venv'.format(*sys.version_info))"
}

install_packages() {
    local become_root=()
    if [[ $EUID -ne 0 ]]; then
        become_root=(sudo -n)
    fi
    if ! command -v apt-get >/dev/null; then
        stop "Install what is called here: $* with this system's package manager, and run the same command again."
    fi
    if ! "${become_root[@]}" true 2>/dev/null; then
        stop "Some packages are missing. Run: sudo apt-get install -y $*"
    fi
    echo "Installing $*" >&2
    run_apt update
    run_apt install --yes --no-install-recommends --no-remove "$@"
}

# Runs apt-get without its chatter; its whole output appears when it fails. Uses the caller's `become_root`.
run_apt() {
    local output status=0
    output=$(mktemp)
    # shellcheck disable=SC2064 # where the script is ended, nothing of this function is known any more
    trap "abandon_apt $(printf %q "$output") ${become_root[*]}" EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    "${become_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get --quiet "$@" </dev/null >"$output" 2>&1 &
    show_line_of $! "apt-get $1" "$output"
    wait $! || status=$?
    trap - EXIT INT TERM
    local said
    said=$(<"$output")
    rm -f "$output"
    if [[ $status -ne 0 ]]; then
        stop "$said" $'\n'"apt-get could not $1 packages; repair that, and run the same command again."
    fi
}

# Ends apt-get, which hears no Ctrl-C in the background, with all that it has started, and removes its output.
abandon_apt() {
    local output=$1
    shift
    if [[ -n ${!-} ]]; then
        # shellcheck disable=SC2046 # each process is a word
        "$@" sh -c 'kill "$@"' sh $(list_processes $!) 2>/dev/null || true
        wait $! || true
    fi
    rm -f "$output"
}

# Prints a process, and all below it.
list_processes() {
    local child
    echo "$1"
    for child in $(cat "/proc/$1/task/$1/children" 2>/dev/null); do
        list_processes "$child"
    done
}

# While a process runs, shows on a terminal the last line that it has written, and for how long it has been at work.
show_line_of() {
    local process=$1 name=$2 output=$3 began=$SECONDS last
    [[ -t 2 && ${TERM:-dumb} != dumb ]] || return 0
    local room=$(($(tput cols 2>/dev/null || echo 80) - 1))
    while kill -0 "$process" 2>/dev/null; do
        last=$(tail --lines 1 "$output" | tr -cd '[:print:]')
        last="$name, $((SECONDS - began)) s${last:+: $last}"
        printf '\r\033[K%s' "${last:0:room}" >&2
        sleep 0.5
    done
    printf '\r\033[K' >&2
}

stop() {
    echo "$*" >&2
    exit 1
}

main "$@"
