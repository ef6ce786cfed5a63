/* wsgi.input: the body of the current request. Nothing is fetched from the client before it is read. */
#include <stdlib.h>
#include <string.h>

#include "gateway.h"

#define MOST 65536

/* result<list<u8>, input-error> */
typedef struct { uint8_t failed; union { gateway_list data; uint8_t error; } value; } read_result;

WASGI_IMPORT("input", "read") void gateway_read(uint32_t max, read_result *result);

/* What has come and was not read yet. */
static char *piece;
static size_t start, end;

void gateway_begin_input(void) {
    free(piece);
    piece = NULL;
    start = end = 0;
}

/* Makes sure that there is something; 1, or what wasgi_read answers. */
static long fill(void) {
    if (start < end) return 1;
    gateway_begin_input();
    read_result result;
    gateway_read(MOST, &result);
    if (result.failed) return WASGI_DISCONNECTED - (long)result.value.error;
    if (result.value.data.length == 0) return 0;
    piece = result.value.data.data;
    end = result.value.data.length;
    return 1;
}

static size_t take(void *into, size_t size) {
    size_t length = end - start < size ? end - start : size;
    memcpy(into, piece + start, length);
    start += length;
    return length;
}

long wasgi_read(void *into, size_t size) {
    if (size == 0) return 0;
    long filled = fill();
    return filled == 1 ? (long)take(into, size) : filled;
}

long wasgi_read_line(void *into, size_t size) {
    size_t length = 0;
    while (length < size) {
        long filled = fill();
        if (filled < 0) return filled;
        if (filled == 0) break;
        const char *feed = memchr(piece + start, '\n', end - start);
        size_t wanted = feed ? (size_t)(feed - piece) + 1 - start : end - start;
        length += take((char *)into + length, wanted < size - length ? wanted : size - length);
        if (feed && ((char *)into)[length - 1] == '\n') break;
    }
    return (long)length;
}

long wasgi_read_all(char **into, size_t limit) {
    size_t length = 0, room = 0;
    *into = NULL;
    for (long filled = 1; filled != 0;) {
        filled = fill();
        size_t found = filled == 1 ? end - start : 0;
        long failed = filled < 0 ? filled : found > limit - length ? WASGI_TOO_LARGE : 0;
        if (!failed && found > SIZE_MAX / 4 - length) failed = WASGI_NO_MEMORY;
        if (!failed && length + found + 1 > room) {
            room = 2 * (length + found) + 1;
            char *grown = realloc(*into, room);
            if (grown) *into = grown;
            else failed = WASGI_NO_MEMORY;
        }
        if (failed) {
            free(*into);
            *into = NULL;
            return failed;
        }
        length += take(*into + length, found);
    }
    (*into)[length] = 0;
    return (long)length;
}

const char *wasgi_input_error(long answer) {
    switch (answer) {
    case WASGI_DISCONNECTED: return "the client disconnected";
    case WASGI_MALFORMED: return "the request's body is malformed";
    case WASGI_TOO_LARGE: return "the request's body is larger than the limit";
    case WASGI_TIMED_OUT: return "the request's body did not arrive in time";
    case WASGI_NO_MEMORY: return "there is no memory for the request's body";
    default: return "";
    }
}
