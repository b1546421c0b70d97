/* SPDX-License-Identifier: MIT
 *
 * trust.h - what the page /trust says about the certificate of this start.
 *
 * Pure: text in, text out; any thread.
 */
#ifndef TRUST_H
#define TRUST_H

#include <stddef.h>

enum trust_state {
    TRUST_PLAIN, /* there is no TLS */
    TRUST_OTHER, /* a certificate of the user's own */
    TRUST_OURS,  /* one that our own authority issued */
};

/* What there is to trust. All borrowed; the pointers are used with TRUST_OURS only. */
struct trust {
    enum trust_state state;
    const char *name;        /* of the authority, as lists of certificates show it */
    const char *fingerprint; /* of its certificate: SHA-256 as "AB:CD:..." */
    const unsigned char *ca; /* the certificate in DER form, whose SHA-256 that is */
    size_t ca_len;
};

/* Fills web/trust.html in: what stands between <!--if STATE--> (plain, other, ours) and <!--end-->
 * stays if that is the state, {{name}} and {{fingerprint}} become what they are, as HTML text.
 * Returns *filled bytes that the caller frees with free(), or NULL when memory is out. */
char *trust_fill(const struct trust *trust, const char *html, size_t len, size_t *filled);

#endif
