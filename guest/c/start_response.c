/* start_response and write(): the head of the response, and what is sent before the body is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway.h"

/* What a guest may hand over at once. */
#define MOST ((size_t)1 << 20)

/* result<_, start-error> */
typedef struct { uint8_t failed; struct { uint8_t kind; gateway_list why; } error; } start_result;
/* result<_, write-error> */
typedef struct { uint8_t failed, error; } write_result;

WASGI_IMPORT("response", "start-response")
void gateway_start_response(const char *status, size_t status_length, const gateway_pair *headers, size_t count, int32_t has_exc_info,
                            const char *kind, size_t kind_length, const char *message, size_t message_length, const char *traceback,
                            size_t traceback_length, start_result *result);
WASGI_IMPORT("response", "early-hints") void gateway_early_hints(const gateway_pair *headers, size_t count, start_result *result);
WASGI_IMPORT("response", "write") void gateway_write(const void *data, size_t length, write_result *result);

/* Raises why a head was refused. */
static wasgi_start_error told(const start_result *result) {
    if (!result->failed) return WASGI_STARTED;
    wasgi_start_error error = (wasgi_start_error)(result->error.kind + 1);
    gateway_list why = result->error.why;
    switch (error) {
    case WASGI_ALREADY_STARTED: why = gateway_text(strdup("start_response was called before")); break;
    case WASGI_ALREADY_SENT: why = gateway_text(strdup("the head is already sent")); break;
    case WASGI_STARTED: case WASGI_INVALID_STATUS: case WASGI_INVALID_HEADER: why.data[why.length] = 0; break;
    }
    gateway_raise("StartError", why);
    return error;
}

static gateway_pair *pairs(const wasgi_header *headers, size_t count) {
    gateway_pair *pairs = malloc(count * sizeof *pairs + 1);
    if (!pairs) abort();
    for (size_t at = 0; at < count; at++) pairs[at] = (gateway_pair){gateway_native(headers[at].name), gateway_native(headers[at].value)};
    return pairs;
}

static void free_pairs(gateway_pair *pairs, size_t count) {
    for (size_t at = 0; at < count; at++) {
        free(pairs[at].name.data);
        free(pairs[at].value.data);
    }
    free(pairs);
}

static wasgi_start_error start(const char *status, const wasgi_header *headers, size_t count, const gateway_exc_info *exc_info) {
    gateway_list native = gateway_native(status);
    gateway_pair *fields = pairs(headers, count);
    gateway_exc_info none = {{NULL, 0}, {NULL, 0}, {NULL, 0}}, exc = exc_info ? *exc_info : none;
    start_result result;
    gateway_start_response(native.data, native.length, fields, count, exc_info != NULL, exc.kind.data, exc.kind.length, exc.message.data,
                           exc.message.length, exc.traceback.data, exc.traceback.length, &result);
    free_pairs(fields, count);
    free(native.data);
    return told(&result);
}

wasgi_start_error gateway_start(const char *status, const wasgi_header *headers, size_t count) {
    return start(status, headers, count, NULL);
}

wasgi_start_error wasgi_restart_response(const char *status, const wasgi_header *headers, size_t count, const char *kind,
                                         const char *message) {
    /* It may be what was raised last, which a refusal replaces. */
    gateway_exc_info exc_info = {gateway_utf8(gateway_text(kind)), gateway_utf8(gateway_text(message)), gateway_text(NULL)};
    wasgi_start_error error = start(status, headers, count, &exc_info);
    /* Too late: what is raised is the error, not that it came too late. */
    if (error == WASGI_ALREADY_SENT) gateway_raise(exc_info.kind.data, exc_info.message);
    else free(exc_info.message.data);
    free(exc_info.kind.data);
    return error;
}

wasgi_start_error wasgi_early_hints(const wasgi_header *headers, size_t count) {
    gateway_pair *fields = pairs(headers, count);
    start_result result;
    gateway_early_hints(fields, count, &result);
    free_pairs(fields, count);
    return told(&result);
}

wasgi_write_error wasgi_write(const void *data, size_t length) {
    const char *from = data;
    do {
        size_t piece = length < MOST ? length : MOST;
        write_result result;
        gateway_write(from, piece, &result);
        if (result.failed) return (wasgi_write_error)(result.error + 1);
        from += piece;
        length -= piece;
    } while (length > 0);
    return WASGI_WRITTEN;
}
