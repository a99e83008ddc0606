#!/bin/sh
# As the official image does: options alone mean redis-server, and without a password of its own
# the server answers other containers (Debian's binary is protected against that by default).
set -e
case ${1:-} in
  -*|*.conf) set -- redis-server "$@";;
esac
if [ "${1:-}" = redis-server ]; then
  case " $* " in
    *protected-mode*) ;;
    *) set -- "$@" --protected-mode no;;
  esac
fi
exec "$@"
