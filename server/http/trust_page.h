/* SPDX-License-Identifier: MIT
 *
 * trust_page.h - the page /trust, which describes the server's certificate.
 *
 * Pure: text in, text out; any thread.
 */
#ifndef TRUST_PAGE_H
#define TRUST_PAGE_H

#include <stddef.h>

enum trust_page_state {
    TRUST_PAGE_PLAIN, /* no TLS */
    TRUST_PAGE_OTHER, /* a certificate of the user's own */
    TRUST_PAGE_OURS,  /* a certificate that our authority issued */
};

/* The data of the page. All borrowed; the pointers are used with TRUST_PAGE_OURS only. */
struct trust_page {
    enum trust_page_state state;
    const char *name;        /* of the authority, as lists of certificates show it */
    const char *fingerprint; /* of its certificate: SHA-256 as "AB:CD:..." */
    const unsigned char *ca; /* that certificate in DER form */
    size_t ca_len;
};

/* Fills in web/trust.html: keeps the text between <!--if STATE--> (plain, other, ours) and
 * <!--end--> if that is the state, and replaces {{name}} and {{fingerprint}}, as HTML text. Returns
 * *filled bytes that the caller frees with free(), or NULL when memory is out. */
char *trust_page_fill(const struct trust_page *trust, const char *html, size_t len, size_t *filled);

#endif
