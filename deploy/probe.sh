#!/bin/sh
# Sets up, or brings up to date, the probes of one region over SSH. It may be run again at any time: what is as it should be
# stays, and a probe is started anew only when something of it has changed.
#
#   deploy/probe.sh REGION HOST [HOST…] < key-file        each listens on port 3000 with this key
#   deploy/probe.sh --join REGION HOST < join-file        it joins a server instead; the file holds URL#token
#
# HOST is as for ssh (a user who may use sudo without a password, or root). The key and the token come by standard input and
# go to the host the same way: they stand in no list of processes and in no shell's history.
#
# PROBE_PACKAGE  what pip installs there: a name, an index's tocsin==1.2.3, or a wheel here that is copied. Default: tocsin
# PROBE_PORT     the port it listens on. Default: 3000
# PROBE_ALLOW    addresses that may ask it. Default: any that has the key
set -eu

here=$(cd "$(dirname "$0")" && pwd)
package=${PROBE_PACKAGE:-tocsin}
port=${PROBE_PORT:-3000}
allow=${PROBE_ALLOW:-}
root=${PROBE_ROOT:-} # where the host's files are: for trying this out

usage() {
    echo "usage: $0 [--join] REGION HOST [HOST…] < file-with-key-or-URL#token" >&2
    exit 2
}

plain() { # no quotes, blanks or other signs of the shell in what goes into files and commands there
    case $2 in
    *[!A-Za-z0-9._:/,=@+-]*)
        echo "$0: $1: expected letters, digits and ._:/,=@+- , found others" >&2
        exit 2
        ;;
    esac
}

join=no
if [ "${1:-}" = --join ]; then
    join=yes
    shift
fi
[ $# -ge 2 ] || usage
region=$1
shift
if [ "$join" = yes ] && [ $# -gt 1 ]; then
    echo "$0: --join takes one host: a token can be used once" >&2
    exit 2
fi
plain REGION "$region"
plain PROBE_PORT "$port"
plain PROBE_ALLOW "$allow"
plain PROBE_PACKAGE "$package"
IFS= read -r secret || [ -n "${secret:-}" ] || secret=
if [ "$join" = yes ]; then
    case $secret in http*://*'#'?*) ;; *)
        echo "$0: expected URL#token on standard input, found something else" >&2
        exit 2
        ;;
    esac
    plain token "${secret%%#*}"
    plain token "${secret#*#}"
else
    if [ ${#secret} -lt 16 ]; then
        echo "$0: expected a key of at least 16 characters on standard input, found ${#secret}" >&2
        exit 2
    fi
    plain key "$secret"
fi

remote() { # what runs there, by `sh -s`; the settings stand before it
    cat <<'REMOTE'
set -eu
changed=no
put() { # put FILE MODE TEXT: write it when it is not so already
    new=$(mktemp "$1.XXXXXX")
    printf '%s\n' "$3" >"$new"
    chmod "$2" "$new"
    if [ -f "$1" ] && cmp -s "$1" "$new"; then rm -f "$new"; else mv -f "$new" "$1"; changed=yes; fi
}
home=$root/opt/tocsin
if [ -z "$root" ] && ! id tocsin >/dev/null 2>&1; then
    useradd --system --home-dir /nonexistent --shell /usr/sbin/nologin tocsin
fi
mkdir -p "$root/opt" "$root/etc/tocsin" "$root/etc/systemd/system"
chmod 700 "$root/etc/tocsin"
[ -x "$home/bin/python" ] || python3 -m venv "$home"
before=$("$home/bin/tocsin" --version 2>/dev/null || echo none)
"$home/bin/python" -m pip install --quiet --disable-pip-version-check --upgrade "$package"
[ "$("$home/bin/tocsin" --version)" = "$before" ] || changed=yes
settings=$(
    echo "TOCSIN_REGION_CODE=$region"
    echo "TOCSIN_PROBE_PORT=$port"
    [ -z "$allow" ] || echo "TOCSIN_PROBE_ALLOW=$allow"
    [ "$join" = yes ] || echo "TOCSIN_PROBE_KEY=$secret"
    [ "$join" = no ] || echo "TOCSIN_PROBE_JOIN=$secret"
)
put "$root/etc/tocsin/probe.env" 600 "$settings"
put "$root/etc/systemd/system/tocsin-probe.service" 644 "$unit"
if [ "$changed" = yes ]; then
    systemctl daemon-reload
    systemctl enable --quiet tocsin-probe
    systemctl restart tocsin-probe
elif ! systemctl is-active --quiet tocsin-probe; then
    systemctl start tocsin-probe
fi
tries=0
until "$home/bin/tocsin" check http "http://127.0.0.1:$port/health" >/dev/null 2>&1; do
    tries=$((tries + 1))
    if [ $tries -ge 30 ]; then
        echo "it does not answer; its last words:" >&2
        journalctl -u tocsin-probe -n 20 --no-pager >&2 || true
        exit 1
    fi
    sleep 1
done
print='import sys; from pathlib import Path; from tocsin.net.certificate import fingerprint_of; print(fingerprint_of(Path(sys.argv[1])))'
cert=$root/var/lib/tocsin-probe/probe.crt
if [ -f "$cert" ]; then echo "certificate SHA-256: $("$home/bin/python" -c "$print" "$cert")"; fi
echo "changed: $changed"
REMOTE
}

failed=0
for host in "$@"; do
    plain HOST "$host"
    there=$package
    if [ -f "$package" ]; then
        there=/tmp/$(basename "$package")
        scp -q "$package" "$host:$there"
    fi
    echo "== $region: $host"
    # printf is the shell's own: nothing of this shows in a list of processes
    if ! {
        printf "root='%s' package='%s' region='%s' port='%s' allow='%s' join='%s' secret='%s'\n" \
            "$root" "$there" "$region" "$port" "$allow" "$join" "$secret"
        printf "unit=\$(cat <<'UNIT'\n"
        cat "$here/systemd/tocsin-probe.service"
        printf "UNIT\n)\n"
        remote
    } | ssh "$host" 'if [ "$(id -u)" = 0 ]; then exec sh -s; else exec sudo -n sh -s; fi'; then
        echo "== $host: failed" >&2
        failed=1
    fi
done
exit $failed
