#!/bin/sh
# As in the official image: `docker run node -e ...` and `docker run node file.js` mean node.
set -e
case ${1:-} in
  -*) exec node "$@";;
esac
if [ $# -gt 0 ] && ! command -v "$1" > /dev/null 2>&1; then exec node "$@"; fi
exec "$@"
