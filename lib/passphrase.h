/* SPDX-License-Identifier: MIT
 *
 * passphrase.h - passwords of four words that people can read out and type: "otter-lamp-fjord-tea".
 *
 * Pure: no I/O, no locks, any thread.
 */
#ifndef PASSPHRASE_H
#define PASSPHRASE_H

enum {
    PASSPHRASE_WORDS = 4,
    PASSPHRASE_RANDOM = 5, /* random bytes that make one: 40 bits, 10 for each word */
    PASSPHRASE_MAX = 48,   /* bytes of a password with its NUL: four words of at most 10 letters */
};

/* Writes the password that these random bytes stand for: different bytes make different ones. */
void passphrase_write(char text[PASSPHRASE_MAX], const unsigned char random[PASSPHRASE_RANDOM]);

#endif
