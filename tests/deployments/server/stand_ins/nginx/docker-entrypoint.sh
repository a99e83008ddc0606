#!/bin/sh
# As the official image does: each template becomes a file of conf.d, in which the variables that
# the container was given are filled in, and no others.
set -eu
given=$(env | sed -n 's/^\([A-Za-z_][A-Za-z0-9_]*\)=.*/${\1}/p' | tr '\n' ' ')
for template in /etc/nginx/templates/*.template; do
  envsubst "$given" <"$template" >"/etc/nginx/conf.d/$(basename "$template" .template)"
done
exec "$@"
