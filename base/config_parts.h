/* SPDX-License-Identifier: MIT
 *
 * config_parts.h - shared by the files that read config.json; no other file includes it.
 *
 * config.c has the table of settings and reads the file, config_value.c reads one value, and
 * config_error.c writes errors.
 */
#ifndef CONFIG_PARTS_H
#define CONFIG_PARTS_H

#include "base/config.h"
#include "lib/json/json.h"

enum {
    CONFIG_STRING_LIMIT = 4095,       /* bytes of any string in the file; more is refused */
    CONFIG_HISTORY_FILE_LIMIT = 4000, /* bytes of its path; FILE-journal must fit, too */
    CONFIG_ALLOWED_MAX = 192,         /* bytes of the text of allowed values */
};

enum config_kind {
    KIND_BOOL,
    KIND_INTEGER,
    KIND_TEXT,    /* a string; min and max are in characters */
    KIND_BYTES,   /* a string; min and max are in bytes */
    KIND_SECRET,  /* a string that is never shown; min and max are in bytes */
    KIND_PATH,    /* a string, made relative to the file's folder; in bytes */
    KIND_ORIGINS, /* an array of strings */
    KIND_BLOCKS,  /* an array of addresses and blocks of them, as strings */
    KIND_ROOMS,   /* an array of names of rooms, as strings */
    KIND_LEVEL,   /* one of the names in `levels` */
    KIND_SYNC,    /* one of the names in `syncs` */
};

enum config_need { OPTIONAL, REQUIRED, REQUIRED_FOR_TLS };

struct config_key {
    const char *name;
    size_t offset; /* of its field in struct config */
    enum config_kind kind;
    enum config_need need;
    int min, max; /* bounds of a number, or of a string's length */
    int fallback; /* the default of an optional key */
};

extern const struct config_key config_keys[];
extern const size_t config_key_count;

/* Where errors go if all of them are wanted, not only the first. */
struct config_faults {
    void (*report)(void *context, const char *error);
    void *context;
    int count;
    bool refused[CONFIG_KEYS]; /* keys whose value is not allowed */
};

/* The file that is being read. */
struct config_reader {
    struct config *config;
    struct config_faults *faults; /* NULL: reading ends at the first error */
    bool others_can_read;         /* the file's mode lets others read it */
    char *error;
    char *file;       /* the whole file, NUL-terminated; the caller of config_read frees it */
    const char *text; /* the file after the byte order mark */
    size_t len;       /* of the text */
};

/* A position in the file. */
struct config_place {
    int line, column; /* 0: unknown */
};

/* The field of `key` in `config`. */
void *config_field_of(struct config *config, const struct config_key *key);

/* Reads the value of a key into r->config. Returns 0, or -1 and an error. */
int config_read_value(const struct config_reader *r, const struct config_key *key,
                      const struct json_field *field);

/* The line and column of a place in the text. */
struct config_place config_place_of(const struct config_reader *r, const char *at);

/* Describes the allowed values of `key`, as text after "expected". */
void config_write_allowed(char out[CONFIG_ALLOWED_MAX], const struct config_key *key);

/* Write an error and return -1: about the text at `at` (NULL: the whole file; `key` may be NULL),
 * about memory, about a value that is not allowed, and about an unknown key. */
int config_refuse(const struct config_reader *r, const char *at, const char *key,
                  const char *format, ...) __attribute__((format(printf, 4, 5)));
int config_refuse_memory(const struct config_reader *r);
int config_refuse_value(const struct config_reader *r, const struct config_key *key,
                        const struct json_field *field);
int config_refuse_unknown(const struct config_reader *r, const struct json_field *field);

/* Decides whether to go on after `rc`, the result of reading a part of the file: if it is -1, and
 * all errors are wanted, reports the one in r->error and returns 0; else returns `rc`. */
int config_note_fault(const struct config_reader *r, int rc);

/* The bytes at `text` that are one control character (C0, DEL, or C1 in UTF-8); else 0. */
size_t config_control_len(const char *text);

/* The bytes of the byte order mark at the start of a file, which some editors write: 3, or 0. RFC
 * 8259 §8.1 allows a reader to skip it. */
size_t config_mark_len(const char *text);

/* Whether a byte of UTF-8 is not the first one of its character. */
bool config_is_continuation(char byte);

/* config_cluster.c: the checks of the cluster's settings that involve more than one value; gives
 * absent strings their defaults. Both return 0, or -1 and an error. */
int config_check_cluster(const struct config_reader *r);
int config_complete_cluster(const struct config_reader *r);

/* Copies the cluster's settings from `running`, because all servers need the same and rooms exist.
 * Adds the names of those that differed to `kept`. Returns false when memory is out. */
bool config_keep_cluster(struct config *config, const struct config *running, char *kept);

/* Frees them. */
void config_free_cluster(struct config *config);

/* Helpers of config_keep. config_note_kept adds a name to the list of kept keys. The others make
 * *value as `running`: config_keep_int returns whether it differed, config_keep_string returns
 * false when memory is out. */
void config_note_kept(char *kept, const char *name);
bool config_keep_int(int *value, int running);
bool config_keep_string(char **value, const char *running, bool *differs);

#endif
