#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Deploy hook of certbot: gives ragnarok each new certificate, and has it read again. Nobody is
# disconnected.
#
#   sudo install -m 755 contrib/certbot/ragnarok.sh /usr/local/lib/ragnarok-certbot
#   sudo certbot certonly --standalone -d chat.example.org --deploy-hook /usr/local/lib/ragnarok-certbot
#
# and in /etc/ragnarok/config.json "SSL_Cert": "fullchain.pem", "SSL_Key": "privkey.pem".
# certbot runs it as root at once and after each renewal, with RENEWED_LINEAGE. For a server that is
# not the service of contrib/systemd, set the three variables below in front of the path of the hook.

set -eu

folder=${RAGNAROK_FOLDER:-/etc/ragnarok}            # of config.json
group=${RAGNAROK_GROUP:-ragnarok-config}            # may read the key; root owns it
reload=${RAGNAROK_RELOAD:-systemctl reload-or-restart ragnarok}

if [ -z "${RENEWED_LINEAGE:-}" ]; then
    echo "ragnarok-certbot: expected RENEWED_LINEAGE, which certbot sets, got nothing" >&2
    exit 1
fi

trap 'rm -f "$folder/fullchain.pem.new" "$folder/privkey.pem.new"' EXIT

# Both are written beside their places first, so that the server never finds half of a file.
install -m 0644 "$RENEWED_LINEAGE/fullchain.pem" "$folder/fullchain.pem.new"
install -m 0640 -g "$group" "$RENEWED_LINEAGE/privkey.pem" "$folder/privkey.pem.new"
mv -f "$folder/fullchain.pem.new" "$folder/fullchain.pem"
mv -f "$folder/privkey.pem.new" "$folder/privkey.pem"

# shellcheck disable=SC2086  # it is a command with its arguments
exec $reload
