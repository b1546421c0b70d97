/* SPDX-License-Identifier: MIT
 *
 * tls_files.h - a server's TLS rules from two files, for programs without live configuration.
 */
#ifndef TLS_FILES_H
#define TLS_FILES_H

#include <stdio.h>

#include "net/socket.h"
#include "net/stream.h"

enum { TLS_FILE_MAX = 64 * 1024 }; /* bytes of a file; the rest is ignored */

static inline struct net_pem tls_file_read(const char *path, char bytes[TLS_FILE_MAX])
{
    FILE *file = fopen(path, "r");
    size_t len = file ? fread(bytes, 1, TLS_FILE_MAX, file) : 0;
    if (file)
        fclose(file);
    return (struct net_pem){bytes, len};
}

/* As tls_context_server. */
static inline struct tls_context *tls_files_open(const char *cert_path, const char *key_path,
                                                 char *error)
{
    static char chain[TLS_FILE_MAX], key[TLS_FILE_MAX];
    return tls_context_server(tls_file_read(cert_path, chain), tls_file_read(key_path, key), error);
}

#endif
