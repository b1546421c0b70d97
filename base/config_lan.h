/* SPDX-License-Identifier: MIT
 *
 * config_lan.h - `ragnarok --lan`: opens the room to the LAN, by changing config.json before the
 * start.
 */
#ifndef CONFIG_LAN_H
#define CONFIG_LAN_H

#include <stdbool.h>

/* Changes the file at `path` so that others can join: a loopback server_ip becomes the wildcard
 * address of its family, and the sample password a random one of four words (passphrase.h). An
 * address or a password of one's own is kept; a file that needs no change is not written. The rest
 * of the file stays byte for byte, with its mode and owner; readers find the old file or the new
 * one. *made says whether a password was made. Must be called before the broker and the listeners
 * exist. Returns 0, or -1 and an error of one line in `error` (CONFIG_ERROR_MAX); then the file is
 * unchanged, unless only the sync of its folder failed. */
int config_open_to_lan(const char *path, bool *made, char *error);

#endif
