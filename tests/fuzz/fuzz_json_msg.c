/* SPDX-License-Identifier: MIT
 *
 * fuzz_json_msg.c - messages of any bytes, for libFuzzer (`make fuzz`).
 *
 * What must hold: what is accepted here, another JSON parser accepts as well; what is relayed is
 * acceptable again, with the server's fields as the server set them; a refusal has a place and
 * words.
 */
#include "json_msg.h"
#include "lib/crypto/e2e.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static bool is_text(const struct json_object *object, const char *name, const char *text)
{
    char value[32];
    const struct json_field *field = json_find(object, name);
    return field && json_string(field, value, sizeof(value)) >= 0 && strcmp(value, text) == 0;
}

static void check_relay(const struct json_object *in, bool private)
{
    struct json_object out;
    struct json_error error;
    uint64_t id = 0;
    size_t len;
    char *text = json_relay(in, private, "\"ana\"", &len);
    require(text != NULL);
    len += json_finish_relay(text + len, private ? 0 : 7, 1767225600000);
    require(json_parse_message(&out, text, len, &error) == 0);
    require(is_text(&out, "SrcUser", "ana"));
    require(is_text(&out, "msgType", private ? "PrivateMessage" : "Broadcast"));
    require(private || (json_number(json_find(&out, "Id"), &id) == 0 && id == 7));
    free(text);
}

static void check_field(const struct json_field *field, const char *text, size_t size)
{
    char small[8], *large = malloc(size + 1);
    uint64_t number;
    require(field->name >= text && field->name + field->name_len <= text + size);
    require(field->value >= text && field->value + field->value_len <= text + size);
    require(json_kind(field) != NULL);
    json_number(field, &number);
    if (field->value[0] == '"') {
        long len = json_string(field, large, size + 1);
        require(len <= (long)field->value_len);
        json_string(field, small, sizeof(small));
    }
    free(large);
}

/* Who takes a wrong kind for none agrees with json_kind. */
static void check_kinds(const struct json_object *object, const struct json_field *field)
{
    char name[16];
    struct json_field element;
    const char *kind = json_kind(field);
    size_t at = 0, elements = 0;
    while (json_element(field, &at, &element)) {
        require(element.value >= field->value && at <= field->value_len);
        require(element.value + element.value_len < field->value + field->value_len);
        elements++;
    }
    require(elements == 0 || strcmp(kind, "an array") == 0);
    struct json_field named = {.value = field->name, .value_len = field->name_len};
    if (json_string(&named, name, sizeof(name)) < 0)
        return; /* cannot be looked up by a string of C */
    char *text = json_get_string(object, name);
    require(!text || strcmp(kind, "a string") == 0);
    require(!text || json_equals(object, name, text));
    require(!json_get_uint(object, name) || strcmp(kind, "a number") == 0);
    require(!json_get_bool(object, name) || strcmp(kind, "true or false") == 0);
    free(text);
}

/* What the server answers is acceptable, whatever it echoes. */
static void check_answer(char *answer, size_t len)
{
    struct json_object object;
    struct json_error error;
    require(answer && json_parse_message(&object, answer, len, &error) == 0);
    free(answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json_object object;
    static const struct e2e_keys keys = {.origin = "http://h", .enc = "e"};
    struct json_error error;
    size_t len;
    char *text = malloc(size ? size : 1);
    memcpy(text, data, size);
    if (json_parse_message(&object, text, size, &error) == 0) {
        cJSON *tree = cJSON_ParseWithLength(text, size);
        require(tree != NULL && cJSON_IsObject(tree));
        cJSON_Delete(tree);
        for (size_t i = 0; i < object.count; i++) {
            check_field(&object.fields[i], text, size);
            check_kinds(&object, &object.fields[i]);
        }
        check_relay(&object, false);
        check_relay(&object, true);
        char *answer = json_error(ERROR_BAD_JSON, "words", &object, &len);
        check_answer(answer, len);
        answer = json_delivered(&object, &len);
        check_answer(answer, len);
        answer = json_throttled("words", 15, &object, &len);
        check_answer(answer, len);
        answer = json_keys_published(&object, &len);
        check_answer(answer, len);
        struct json_writer history = json_history_begin(&object, "e", size);
        answer = json_history_end(&history, 1, false, &len);
        check_answer(answer, len);
        answer = json_user_keys("ana", &keys, &object, &len);
        check_answer(answer, len);
    } else {
        require(error.why != NULL && error.offset <= size);
    }
    free(text);
    return 0;
}
