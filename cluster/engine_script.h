/* SPDX-License-Identifier: MIT
 *
 * engine_script.h - engine.lua as it was at build time (tools/embed).
 */
#ifndef ENGINE_SCRIPT_H
#define ENGINE_SCRIPT_H

#include <stddef.h>

extern const char engine_script[]; /* NUL-terminated */
extern const size_t engine_script_len;
extern const char engine_script_sha[]; /* SHA-1 in hexadecimal, by which EVALSHA names it */

#endif
