#!/bin/sh
# Whether what runs in this container is well: the server, or the probe. It asks the port that this one listens on.
set -eu
case "$(tr '\0' ' ' </proc/1/cmdline)" in
*"tocsin probe"*) port=${TOCSIN_PROBE_PORT:-3000} ;;
*) port=${TOCSIN_PORT:-3001} ;;
esac
exec tocsin check http "http://127.0.0.1:$port/health" --timeout 5
