/* The body of a response, and what the host calls: application, next and close. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway.h"

wasgi_start_error gateway_start(const char *status, const wasgi_header *headers, size_t count);

/* ---- bodies ------------------------------------------------------------------------------------------------------------------------ */

wasgi_body wasgi_stream(wasgi_step (*next)(void *, wasgi_chunk *), int (*close)(void *), void *state) {
    return (wasgi_body){next, close, state, -1, 0};
}

wasgi_body wasgi_empty(void) { return (wasgi_body){NULL, NULL, NULL, 0, 0}; }

/* One chunk: its length and, behind that, its bytes. */
typedef struct { size_t length; int given; char data[]; } single;

static wasgi_step next_single(void *state, wasgi_chunk *chunk) {
    single *one = state;
    if (one->given) return WASGI_END;
    one->given = 1;
    *chunk = (wasgi_chunk){one->data, one->length};
    return WASGI_CHUNK;
}

static int close_single(void *state) {
    free(state);
    return 0;
}

/* What the host takes at once: a chunk that is longer is handed over in pieces. */
#define MOST ((size_t)1 << 20)

static wasgi_body body_of(single *one) { return (wasgi_body){next_single, close_single, one, one->length > MOST ? -1 : 1, 0}; }

static single *single_of(size_t length) {
    single *one = malloc(sizeof *one + length + 1);
    if (!one) abort();
    one->length = length;
    one->given = 0;
    return one;
}

wasgi_body wasgi_bytes(const void *data, size_t length) {
    single *one = single_of(length);
    memcpy(one->data, data, length);
    return body_of(one);
}

wasgi_body wasgi_text(const char *text) { return wasgi_bytes(text, strlen(text)); }

wasgi_body wasgi_format(const char *format, ...) {
    va_list values, again;
    va_start(values, format);
    va_copy(again, values);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    single *one = length < 0 ? NULL : single_of((size_t)length);
    if (one) vsnprintf(one->data, (size_t)length + 1, format, values);
    va_end(values);
    return one ? body_of(one) : wasgi_raise("FormatError", "the text of the body cannot be formed");
}

wasgi_body wasgi_respond(const char *status, const char *content_type, const void *data, size_t length) {
    wasgi_header headers[] = {{"Content-Type", content_type}};
    return gateway_start(status, headers, 1) ? wasgi_reraise() : wasgi_bytes(data, length);
}

/* ---- what the host calls ----------------------------------------------------------------------------------------------------------- */

/* result<iterable, exc-info>, result<option<list<u8>>, exc-info> and result<_, exc-info>, one at a time. */
static struct {
    uint8_t failed;
    union {
        struct { int32_t body; uint8_t has_chunks; uint32_t chunks; } iterable;
        struct { uint8_t is_chunk; gateway_list data; } next;
        gateway_exc_info exc_info;
    } value;
} result;

/* The request that is being served: an instance has one at a time. */
static wasgi_body current;
static wasgi_environ environ_of_current;
/* What of the last chunk is still to be handed over: it is there until the body is asked again. */
static wasgi_chunk left;

__attribute__((import_module("[export]wasgi:gateway/application@0.1.0"), import_name("[resource-new]body")))
int32_t gateway_new_body(int32_t representation);

static void *raised(void) {
    result.failed = 1;
    result.value.exc_info = gateway_raised;
    return &result;
}

/* Takes what the host handed over: from here on the SDK frees it. `cut`: C would take its beginning for the whole. */
static char *taken(gateway_list text, int *cut) {
    if (text.length == 0) return "";
    char *bytes = gateway_keep(text.data);
    *cut |= memchr(bytes, 0, text.length) != NULL;
    return gateway_bytes(text);
}

WASGI_EXPORT("call") void *gateway_call(gateway_pair *pairs, size_t count) {
    gateway_begin_memory();
    gateway_begin_input();
    gateway_begin_errors();
    /* A name and a value are as large as what they were in the host's list: they take its place. */
    _Static_assert(sizeof(wasgi_variable) <= sizeof(gateway_pair), "variables fit where pairs lay");
    int cut = 0;
    left = (wasgi_chunk){NULL, 0};
    wasgi_variable *variables = (wasgi_variable *)pairs;
    for (size_t at = 0; at < count; at++) {
        gateway_pair pair = pairs[at];
        variables[at] = (wasgi_variable){taken(pair.name, &cut), taken(pair.value, &cut)};
    }
    if (count > 0) gateway_keep(pairs);
    environ_of_current = (wasgi_environ){variables, count};
    current = cut ? wasgi_respond("400 Bad Request", "text/plain", "bad request\n", 12) : application(&environ_of_current, gateway_start);
    if (current.raised) return raised();
    result.failed = 0;
    result.value.iterable.body = gateway_new_body(1);
    result.value.iterable.has_chunks = current.chunks >= 0;
    result.value.iterable.chunks = (uint32_t)current.chunks;
    return &result;
}

WASGI_EXPORT("[method]body.next") void *gateway_next(int32_t representation) {
    (void)representation;
    wasgi_step step = WASGI_CHUNK;
    if (left.length == 0) {
        left = (wasgi_chunk){NULL, 0};
        step = current.next ? current.next(current.state, &left) : WASGI_END;
        if (step == WASGI_CHUNK && left.length > MOST && current.chunks == 1) {
            wasgi_raise("ValueError", "the one chunk of a body has at most %zu bytes", MOST);
            step = WASGI_RAISED;
        }
    }
    if (step == WASGI_RAISED) {
        left = (wasgi_chunk){NULL, 0};
        return raised();
    }
    size_t piece = step == WASGI_CHUNK ? (left.length < MOST ? left.length : MOST) : 0;
    result.failed = 0;
    result.value.next.is_chunk = step == WASGI_CHUNK;
    result.value.next.data = (gateway_list){(char *)left.data, piece};
    left = (wasgi_chunk){(const char *)left.data + piece, left.length - piece};
    return &result;
}

WASGI_EXPORT("[method]body.close") void *gateway_close(int32_t representation) {
    (void)representation;
    int (*close)(void *) = current.close;
    void *state = current.state;
    current = wasgi_empty();
    if (close && close(state)) return raised();
    result.failed = 0;
    return &result;
}

WASGI_EXPORT("[dtor]body") void gateway_drop(int32_t representation) { (void)representation; }
