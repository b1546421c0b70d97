/* SPDX-License-Identifier: MIT
 *
 * version.h - the version of both programs. tests/test_docs.py checks that CHANGELOG.md and
 * Debian's changelog agree.
 */
#ifndef VERSION_H
#define VERSION_H

#define RAGNAROK_VERSION "0.1.0"

#endif
