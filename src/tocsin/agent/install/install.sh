#!/bin/sh
# Installs the Tocsin agent on this host, brings it up to date, or takes it away. It may be run again at any time: what is as
# it should be stays, and the host stays the host that it was.
#
#   install.sh [--name NAME] [--server URL] [--tag TAG]… [--pin SHA256] [--ca FILE] [--allow-plain] [--from-index]
#   install.sh --uninstall [--purge]
#
# The enrolment key comes by TOCSIN_API_KEY, by standard input, or is asked for; never as a word of the command, where every
# user of the host could read it.
#
# What its server sets before it is run: SERVER VERSION PLATFORM BUNDLE_SHA256 WHEEL_SHA256 WHEEL_NAME NEEDS, and UNIT. An agent that
# is installed already (`tocsin agent install`) sets INSTALLED, the folder of its own Python, instead.
set -eu
umask 022

SERVER=${SERVER:-} VERSION=${VERSION:-} PLATFORM=${PLATFORM:-} UNIT=${UNIT:-}
BUNDLE_SHA256=${BUNDLE_SHA256:-} WHEEL_SHA256=${WHEEL_SHA256:-} WHEEL_NAME=${WHEEL_NAME:-} NEEDS=${NEEDS:-}
installed=${INSTALLED:-}
user=tocsin-agent
home=/usr/local/lib/tocsin-agent
folder=/var/lib/tocsin-agent
config=/etc/tocsin/agent.yaml
keys=/etc/tocsin/agent.env
unit=/etc/systemd/system/tocsin-agent.service
openrc=/etc/init.d/tocsin-agent
name='' tags='' pin='' ca='' plain=no index=no remove=no purge=no key=''

say() { printf '%s\n' "$*"; }
stop() {
    printf 'tocsin: %s\n' "$*" >&2
    exit 1
}
how() {
    say "usage: install.sh [--name NAME] [--server URL] [--tag TAG] [--pin SHA256] [--ca FILE] [--allow-plain] [--from-index]"
    say "       install.sh --uninstall [--purge]      the key: TOCSIN_API_KEY, standard input, or asked for"
}
usage() {
    printf 'tocsin: %s\n' "$1" >&2
    how >&2
    exit 2
}
explain() {
    how
    cat <<'HELP'

Makes the Tocsin agent a service of this host, or brings it up to date; what is as it should be stays.

  --name NAME      what the host is called (else its host name)
  --tag TAG        a tag of the host; may be given again
  --server URL     the address of the server
  --pin SHA256     the one certificate of the server that is accepted
  --ca FILE        the authorities (PEM) that vouch for the server
  --allow-plain    speak to a server on another machine without TLS
  --from-index     take what Tocsin needs from a package index, by pip
  --uninstall      take the program and the service away; --purge: with its file, its key and its user
HELP
    exit 0
}
plain_text() { # nothing of YAML or of the shell in what goes into files
    case $2 in
    '' | *[!A-Za-z0-9._:/@+~%=\[\]-]*) usage "$1: expected letters, digits and ._:/@+~%=[]- , found others" ;;
    esac
}
has() { command -v "$1" >/dev/null 2>&1; }

words() {
    while [ $# -gt 0 ]; do
        case $1 in
        --name | --server | --tag | --pin | --ca)
            [ $# -ge 2 ] || usage "$1: expected a value, found none"
            plain_text "$1" "$2"
            case $1 in
            --name) name=$2 ;;
            --server) SERVER=${2%/} ;;
            --tag) tags="$tags${tags:+, }\"$2\"" ;;
            --pin) pin=$2 ;;
            --ca) ca=$2 ;;
            esac
            shift
            ;;
        -h | --help) explain ;;
        --allow-plain) plain=yes ;;
        --from-index) index=yes ;;
        --uninstall) remove=yes ;;
        --purge) purge=yes ;;
        --api-key | --api-key=* | --key | --key=*)
            usage "$1: a key among the words can be read by every user of this host: use TOCSIN_API_KEY or standard input"
            ;;
        *) usage "expected one of the options, found $1" ;;
        esac
        shift
    done
}

# --- what this host is ------------------------------------------------------------------------------------------------------

look_around() {
    [ "$(id -u)" = 0 ] || stop "this sets up a service: run it as root (sudo)"
    [ "$(uname -s)" = Linux ] || stop "expected Linux, found $(uname -s)"
    os='' like=''
    if [ -r /etc/os-release ]; then
        os=$(sed -n 's/^ID="\{0,1\}\([^"]*\)"\{0,1\}$/\1/p' /etc/os-release)
        like=$(sed -n 's/^ID_LIKE="\{0,1\}\([^"]*\)"\{0,1\}$/\1/p' /etc/os-release)
    fi
    init=none
    if [ -d /run/systemd/system ]; then init=systemd; elif has rc-service; then init=openrc; fi
}

sound_python() { # sound_python PROGRAM: new enough, and it can make an environment
    has "$1" && "$1" -c 'import sys, venv, ssl, sqlite3; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    for tried in python3.11 python3.12 python3.13 python3.14 python3; do
        if sound_python "$tried"; then
            python=$(command -v "$tried")
            return
        fi
    done
    [ "${1:-}" != again ] || stop "expected Python 3.11 or newer, found $(python3 --version 2>&1 || echo none): install one and come again"
    say "There is no Python 3.11 here yet: installing one."
    case " $os $like " in
    *\ debian\ * | *\ ubuntu\ *) apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y python3 python3-venv >/dev/null ;;
    *\ rhel\ * | *\ fedora\ * | *\ centos\ *) dnf -q -y install python3.11 || dnf -q -y install python3 ;;
    *\ alpine\ *) apk add --quiet python3 py3-pip ;;
    *) : ;;
    esac || say "The packages of this system give none." >&2
    find_python again
}

# --- the key ----------------------------------------------------------------------------------------------------------------

ask_key() {
    key=${TOCSIN_API_KEY:-}
    unset TOCSIN_API_KEY
    [ ! -f "$folder/agent.json" ] || return 0 # it has one of its own
    if [ -z "$key" ] && [ "${FROM_FILE:-yes}" = yes ] && [ ! -t 0 ]; then
        IFS= read -r key || [ -n "$key" ] || key=''
    fi
    if [ -z "$key" ] && (: </dev/tty) 2>/dev/null; then
        printf 'Enrolment key (it is not shown): ' >/dev/tty
        saved=$(stty -g </dev/tty)
        trap 'stty "$saved" </dev/tty; exit 1' INT TERM
        stty -echo </dev/tty
        IFS= read -r key </dev/tty || true
        stty "$saved" </dev/tty
        trap - INT TERM
        echo >/dev/tty
    fi
    case $key in
    '') [ -f "$config" ] || stop "expected an enrolment key in TOCSIN_API_KEY or on standard input, found none" ;;
    *[!A-Za-z0-9._~+/=-]*) stop "expected an enrolment key (letters, digits and ._~+/=-), found other signs in it" ;;
    esac
}

# --- the program ------------------------------------------------------------------------------------------------------------

fetch() { # fetch PATH SHA256 FILE: the key goes there by the environment of this one process
    FETCH_KEY=$key FETCH_URL=$SERVER$1 FETCH_SHA=$2 FETCH_TO=$3 FETCH_PIN=$pin FETCH_CA=$ca FETCH_PLAIN=$plain \
        FETCH_OWN=$folder/agent.json "$python" -I - <<'PYTHON'
import hashlib, http.client, json, os, ssl, sys
from urllib.parse import urlsplit

def stop(words):
    print(f"tocsin: {words}", file=sys.stderr)
    sys.exit(1)

given = {name: os.environ["FETCH_" + name] for name in ("KEY", "URL", "SHA", "TO", "PIN", "CA", "PLAIN", "OWN")}
keys = [given["KEY"]] if given["KEY"] else []
try:
    with open(given["OWN"]) as own:
        keys.insert(0, json.load(own)["key"])
except (OSError, ValueError, KeyError):
    pass
url = urlsplit(given["URL"])
pin = given["PIN"].lower().removeprefix("sha256:").replace(":", "")
try:
    for key in keys or [""]:
        if url.scheme == "https":
            context = ssl.create_default_context(cafile=given["CA"] or None)
            if pin:
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            asked = http.client.HTTPSConnection(url.hostname, url.port, timeout=60, context=context)
            asked.connect()
            shown = hashlib.sha256(asked.sock.getpeercert(True)).hexdigest()
            if pin and shown != pin:
                stop(f"{url.netloc}: expected the certificate {pin}, found {shown}")
        elif url.scheme == "http" and (given["PLAIN"] == "yes" or url.hostname in ("127.0.0.1", "localhost", "::1")):
            asked = http.client.HTTPConnection(url.hostname, url.port, timeout=60)
        else:
            stop(f"{url.scheme}://{url.netloc}: expected https:// (--allow-plain allows it without TLS)")
        asked.request("GET", url.path, headers={"Authorization": f"Bearer {key}"} if key else {})
        answer = asked.getresponse()
        got = hashlib.sha256()
        with open(given["TO"], "wb") as out:
            while block := answer.read(1 << 20):
                got.update(block)
                out.write(block)
                if out.tell() > 256 << 20:
                    stop(f"{given['URL']}: expected at most 256 MB")
        if answer.status != 401:
            break
except (OSError, http.client.HTTPException) as error:
    stop(f"{given['URL']}: {error}")
if answer.status in (401, 403):
    stop(f"the server does not take the key ({answer.status}): make another one on its page for hosts")
if answer.status != 200:
    stop(f"{given['URL']}: expected 200, found {answer.status}")
if got.hexdigest() != given["SHA"]:
    stop(f"{given['URL']}: expected the SHA-256 {given['SHA']}, found {got.hexdigest()}: nothing of it is used."
         " If the server was just brought up to date, fetch install.sh anew")
PYTHON
}

loads() { # whether what lies there runs on this host
    "$1/bin/python" -I -c 'import tocsin.app.agent, tocsin.collectors.system, pycurl, msgspec, yaml, jeepney, cryptography.hazmat.primitives.asymmetric.ed25519, re2' >/dev/null 2>&1
}

launcher() {
    cat >"$1/bin/tocsin" <<'LAUNCH'
#!/bin/sh
exec "${0%/*}/python" -I -m tocsin "$@"
LAUNCH
    chmod 755 "$1/bin/tocsin"
    "$1/bin/python" -m compileall -q "$1/lib" >/dev/null 2>&1 || true
}

from_server() { # the program and all it needs, as they lie at the server; no package index is asked
    here=$("$python" -I -c 'import platform, sys, sysconfig; print("-".join((sys.implementation.cache_tag, sysconfig.get_platform(), platform.libc_ver()[0] or "musl")))')
    if [ "$index" = yes ] || [ "$here" != "$PLATFORM" ]; then
        [ "$index" = yes ] || say "This host is $here, the server $PLATFORM: what Tocsin needs comes from a package index, by pip."
        return 1
    fi
    fetch /agent/bundle "$BUNDLE_SHA256" "$work/bundle.zip" || exit 1
    "$python" -m venv --without-pip "$1" || exit 1
    "$1/bin/python" -I - "$work/bundle.zip" <<'PYTHON' || exit 1
import sys, sysconfig, zipfile
zipfile.ZipFile(sys.argv[1]).extractall(sysconfig.get_path("purelib"))
PYTHON
    launcher "$1"
    loads "$1" || {
        say "What the server has does not run on this host (an older C library?): it comes from a package index, by pip."
        rm -rf "$1"
        return 1
    }
}

from_index() {
    fetch /agent/wheel "$WHEEL_SHA256" "$work/$WHEEL_NAME"
    "$python" -m venv "$1" || stop "expected a Python that can make environments with pip (on Debian: apt-get install python3-venv)"
    "$1/bin/python" -m pip --disable-pip-version-check -q install --no-deps "$work/$WHEEL_NAME"
    # shellcheck disable=SC2086 # words: a package and its version each
    "$1/bin/python" -m pip --disable-pip-version-check -q install $NEEDS
    launcher "$1"
    loads "$1" || stop "what was installed does not run on this host: $("$1/bin/python" -I -c 'import tocsin.app.agent, pycurl, jeepney' 2>&1 | tail -n 1)"
}

lay_out() {
    new=$home/$VERSION-$(printf %.12s "$BUNDLE_SHA256")
    mkdir -p "$home"
    if [ -e "$new/.whole" ] && loads "$new"; then
        say "Tocsin $VERSION is there already."
    else
        work=$(mktemp -d)
        trap 'rm -rf "$work"' EXIT
        rm -rf "$new"
        from_server "$new" || from_index "$new"
        touch "$new/.whole"
        rm -rf "$work"
        trap - EXIT
        changed=yes
    fi
    before=$(readlink "$home/current" 2>/dev/null || true)
    ln -sfn "$new" "$home/.next"
    mv -Tf "$home/.next" "$home/current" 2>/dev/null || { rm -f "$home/current" && mv "$home/.next" "$home/current"; }
    [ "$before" = "$new" ] || changed=yes
    for old in "$home"/*-*; do # the one before stays, for who wants to go back
        case $old in "$new" | "$before") ;; *) rm -rf "$old" ;; esac
    done
}

# --- the service ------------------------------------------------------------------------------------------------------------

make_user() {
    id "$user" >/dev/null 2>&1 && return 0
    if has useradd; then
        useradd --system --user-group --home-dir /nonexistent --no-create-home --shell "$(command -v nologin || echo /sbin/nologin)" "$user"
    else
        addgroup -S "$user" && adduser -S -D -H -h /nonexistent -s /sbin/nologin -G "$user" "$user"
    fi
}

put() { # put FILE MODE <<TEXT: write that there when it is not so already; not behind a pipe, where `changed` would be lost
    fresh=$(mktemp "$1.XXXXXX")
    cat >"$fresh"
    chmod "$2" "$fresh"
    if [ -f "$1" ] && cmp -s "$1" "$fresh"; then rm -f "$fresh"; else mv -f "$fresh" "$1" && changed=yes; fi
}

write_config() {
    mkdir -p "${config%/*}"
    if [ -f "$config" ]; then
        say "$config stays as it is."
        if [ -n "$key" ]; then give_key; elif [ -f "$folder/agent.json" ]; then rm -f "$keys"; fi
        return
    fi
    put "$config" 600 <<CONFIG
$(config_text)
CONFIG
    chown "root:$user" "$config"
    chmod 640 "$config"
}

give_key() { # another one than it has: its service gets it by its environment
    put "$keys" 600 <<KEY
TOCSIN_API_KEY=$key
KEY
}

config_text() {
    echo "# The agent of this host. All that can stand here: docs/agent.md. After a change: systemctl reload tocsin-agent"
    echo "server_url: \"$SERVER\""
    [ -z "$name" ] || echo "server_name: \"$name\""
    [ -z "$tags" ] || echo "tags: [$tags]"
    [ -z "$pin" ] || echo "server_pin: \"$pin\""
    [ -z "$ca" ] || echo "server_ca: \"$ca\""
    [ "$plain" = no ] || echo "allow_plain: true"
    echo "api_key: \"$key\" # needed once, to enrol; this line may go then"
}

program() { if [ -n "$installed" ]; then printf %s "$installed/bin/tocsin"; else printf %s "$home/current/bin/tocsin"; fi; }

serve() {
    mkdir -p "$folder"
    chown "$user:$user" "$folder"
    chmod 700 "$folder"
    case $init in
    systemd)
        put "$unit" 644 <<UNIT_FILE
$(printf '%s\n' "$UNIT" | sed "s|^ExecStart=.*|ExecStart=$(program) agent|")
UNIT_FILE
        systemctl daemon-reload
        systemctl enable --quiet tocsin-agent
        if [ "$changed" = yes ] || ! systemctl is-active --quiet tocsin-agent; then systemctl restart tocsin-agent; else systemctl reload tocsin-agent; fi
        ;;
    openrc)
        put "$openrc" 755 <<OPENRC
#!/sbin/openrc-run
description="Tocsin agent"
supervisor=supervise-daemon
command="$(program)"
command_args="agent"
command_user="$user:$user"
export TOCSIN_DATA_DIR=$folder TOCSIN_AGENT_CONFIG=$config
[ ! -r $keys ] || . $keys
[ -z "\${TOCSIN_API_KEY:-}" ] || export TOCSIN_API_KEY
depend() { need net; }
OPENRC
        rc-update -q add tocsin-agent default || true
        rc-service -q tocsin-agent restart
        ;;
    none)
        say "There is neither systemd nor OpenRC here. Start it, as user $user, with:"
        say "  TOCSIN_DATA_DIR=$folder TOCSIN_AGENT_CONFIG=$config $(program) agent"
        exit 0
        ;;
    esac
}

status() { TOCSIN_DATA_DIR=$folder TOCSIN_AGENT_CONFIG=$config "$(program)" agent status --json 2>/dev/null; }
last_words() {
    if [ "$init" = systemd ] && has journalctl; then journalctl -u tocsin-agent -n 20 --no-pager >&2 || true; fi
}

reports() { # whether the server has answered it since we set it up
    said=$(status) && printf %s "$said" | grep -q '"connected_to": "http' && [ -f "$folder/agent.json" ] || return 1
    heard=$(printf %s "$said" | sed -n 's/.*"heard_at": "\([^"]*\)".*/\1/p')
    [ "$(printf '%s\n%s\n' "$begun" "$heard" | LC_ALL=C sort | head -n 1)" = "$begun" ]
}

wait_for_report() {
    tries=0
    until reports; do
        tries=$((tries + 1))
        if [ $tries -ge 60 ]; then
            last_words
            printf %s "${said:-}" | sed -n 's/.*"server": "\([^"]*\)".*/tocsin: the agent says: \1/p' >&2
            stop "the agent does not reach its server; what it says is above (journalctl -u tocsin-agent). If its key counts no more, come again with a new one in TOCSIN_API_KEY"
        fi
        sleep 1
    done
    uuid=$(printf %s "$said" | sed -n 's/.*"server_uuid": "\([^"]*\)".*/\1/p')
    host=$(printf %s "$said" | sed -n 's/.*"host": "\([^"]*\)".*/\1/p')
    say "The agent of $host runs and reports to $SERVER."
    say "  look at it:      $SERVER/hosts/$uuid"
    say "  what it does:    systemctl status tocsin-agent; $(program) agent status"
    say "  change its file: $config"
}

uninstall() {
    if [ "$init" = systemd ]; then
        systemctl disable --quiet --now tocsin-agent 2>/dev/null || true
        rm -f "$unit"
        systemctl daemon-reload
    elif [ "$init" = openrc ]; then
        rc-service -q tocsin-agent stop 2>/dev/null || true
        rc-update -q del tocsin-agent default 2>/dev/null || true
        rm -f "$openrc"
    fi
    rm -rf "$home"
    if [ "$purge" = yes ]; then
        rm -rf "$folder" "$config" "$keys"
        rmdir "${config%/*}" 2>/dev/null || true
        if id "$user" >/dev/null 2>&1; then userdel "$user" 2>/dev/null || deluser "$user" || true; fi
        say "The agent is gone, with its file and what it kept. Delete the host on the server's page if you do not want it any more."
    else
        say "The agent is gone. $config and $folder stay (--purge takes them too)."
    fi
}

main() {
    words "$@"
    look_around
    if [ "$remove" = yes ]; then
        uninstall
        return
    fi
    changed=no
    [ -n "$SERVER" ] || usage "--server: expected the URL of the server, found none"
    case $SERVER in
    https://* | http://127.0.0.1* | http://localhost* | http://\[::1\]*) ;;
    *) [ "$plain" = yes ] || stop "$SERVER: expected https:// (without TLS the key could be read on the way; --allow-plain allows it)" ;;
    esac
    ask_key
    make_user
    if [ -z "$installed" ]; then
        find_python
        lay_out
    fi
    begun=$(date -u +%Y-%m-%dT%H:%M:%S)
    write_config
    serve
    wait_for_report
}

main "$@"
