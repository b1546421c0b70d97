/* SPDX-License-Identifier: MIT
 *
 * page.h - the web page that the server hands out: the files of web/, built into the program.
 *
 * Everything here is immutable after pages_init; any thread, no locks.
 */
#ifndef PAGE_H
#define PAGE_H

#include <stddef.h>
#include <stdio.h>

#include "http.h"
#include "trust.h"

enum {
    PAGE_FILES_MAX = 64,         /* files of the page; more, and the program does not start */
    PAGE_FILE_MAX = 1024 * 1024, /* bytes of a file under --web-root; a longer one is not served */
    PAGE_ERROR_MAX = 512,        /* an error text, with its NUL */
};

/* One file of web/, as tools/embed makes it: as it is, and as gzip where that is shorter and it is no
 * HTML. */
struct page_file {
    const char *name, *type;
    const unsigned char *plain;
    size_t plain_len;
    const unsigned char *gzip; /* NULL: none */
    size_t gzip_len;
};
extern const struct page_file page_files[];
extern const size_t page_count;

/* Readies the page. `root` names a folder to read the same files from at each request, for who works on
 * the page; NULL: what is in the program. Returns 0, or -1 with a text in `error` (PAGE_ERROR_MAX). */
int pages_init(const char *root, char *error);

/* Writes a line for each file in the program, as sha256sum(1) does: SHA-256, two blanks, web/NAME. */
void pages_print(FILE *out);

/* A response to a request. */
struct page_answer {
    char head[HTTP_RESPONSE_MAX];
    size_t head_len;
    const unsigned char
        *body; /* borrowed from the program, from what there is to trust, or `loaded` */
    size_t body_len;
    const char *what;      /* it is, for the log: a constant string */
    unsigned char *loaded; /* what was read under --web-root, or filled in */
    const struct trust *trust;
    struct page_file ca; /* the authority's certificate, which is no file of web/; no name: none */
};

/* Answers a GET or HEAD: "/" and any room with the page itself, "/NAME" with the file of exactly that
 * name, each as gzip where the client takes it, 304 where it has it (RFC 9110 §13.1.2, §12.5.3), and
 * everything else with 404. That a room's name is allowed was looked at before (http_room). "/trust"
 * is filled in with what there is to trust (borrowed until page_answer_free), and "/ragnarok-ca.crt"
 * is the authority's certificate, if there is one. After it page_answer_free is due. */
void page_answer(const struct http_request *rq, const struct trust *trust,
                 struct page_answer *answer);
void page_answer_free(struct page_answer *answer);

#endif
