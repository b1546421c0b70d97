/* SPDX-License-Identifier: MIT
 *
 * static_files.h - serves the web page: the files that tools/embed makes of web/, built into the
 * program.
 *
 * Everything here is immutable after static_files_init; any thread, no locks.
 */
#ifndef STATIC_FILES_H
#define STATIC_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "lib/http/http_request.h"
#include "lib/http/http_response.h"
#include "server/http/trust_page.h"

enum {
    STATIC_FILE_FILES_MAX = 64, /* files of the page; with more the program does not start */
    STATIC_FILE_FILE_MAX =
        1024 * 1024,             /* bytes of a file under --web-root; longer ones are not served */
    STATIC_FILE_ERROR_MAX = 512, /* an error text, with its NUL */
};

/* One file of the page. It also has a gzip form if that is shorter, and the file is no template. */
struct static_file {
    const char *name, *type;
    const unsigned char *plain; /* NULL: a file of --web-root */
    size_t plain_len;
    const unsigned char *gzip; /* NULL: none */
    size_t gzip_len;
    bool immutable;             /* its name changes with its content */
    const char *styles;         /* the hashes of its inline style sheets, for its policy; or NULL */
    const char *inline_scripts; /* the same of its inline scripts */
};

/* What tools/embed makes of web/: the pages, one script, icons. */
extern const struct static_file page_files[];
extern const size_t page_count;

/* The files of web/ themselves, without their content: those that --web-root serves. */
extern const struct static_file page_sources[];
extern const size_t page_sources_count;

/* Initializes the page. `root` is a folder with files as in web/ to read at each request, for
 * development; NULL: use the files in the program. Returns 0, or -1 and a text in `error`
 * (STATIC_FILE_ERROR_MAX). */
int static_files_init(const char *root, char *error);

/* Writes a line for each file in the program, as sha256sum(1) does: SHA-256, two spaces, the name
 * under which it is served. */
void static_files_print(FILE *out);

/* A response to a request. */
struct static_file_answer {
    char head[HTTP_RESPONSE_MAX];
    size_t head_len;
    const unsigned char *body; /* points into the program, `trust` or `loaded` */
    size_t body_len;
    bool keep;             /* the head says that the connection is kept */
    const char *what;      /* description for the log: a constant string */
    unsigned char *loaded; /* a file read under --web-root, or a filled template; owned */
    const struct trust_page *trust;
    struct static_file ca; /* the authority's certificate, not a file of web/; name NULL: none */
};

/* Answers a GET or HEAD: "/" and any room with the page, "/NAME" with the file of exactly that
 * name, as gzip if the client accepts it, with 304 if the client has it (RFC 9110 §13.1.2,
 * §12.5.3), and everything else with 404. With rq->keep the head of a file says that the connection
 * is kept. A browser may keep immutable files (RFC 8246); it must
 * ask again for others. The caller has checked the room's name (http_room).
 * `trust` fills in "/trust" and is borrowed until static_file_answer_free, which must be called
 * after it. "/ragnarok-ca.crt" is the authority's certificate, if there is one. */
void page_answer(const struct http_request *rq, const struct trust_page *trust,
                 struct static_file_answer *answer);
void static_file_answer_free(struct static_file_answer *answer);

#endif
