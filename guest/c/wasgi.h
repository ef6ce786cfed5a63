/* WSGI applications in C (PEP 3333).
 *
 * Define `application`; `wasgi build` compiles all .c files of the project with this SDK into a component for `wasgi serve`:
 *
 *     #include "wasgi.h"
 *
 *     wasgi_body application(wasgi_environ *environ, wasgi_start_response *start_response) {
 *         wasgi_header headers[] = {{"Content-Type", "text/plain"}};
 *         if (start_response("200 OK", headers, 1)) return wasgi_reraise();
 *         return wasgi_format("Hello from %s\n", wasgi_get(environ, "PATH_INFO"));
 *     }
 *
 * The five nouns of the PEP are five files: environ.c, input.c, errors.c, start_response.c, body.c. What the PEP calls native strings are
 * here the bytes of the wire, with a NUL behind them; a request with a NUL in it is answered with 400, and your application is not asked.
 * One request is served at a time; all that the SDK hands out lives until the body of that request is closed. Static and malloc'ed memory
 * is the application's own, and lives as long as its instance.
 */
#ifndef WASGI_H
#define WASGI_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- environ: PEP 3333, "environ Variables" --------------------------------------------------------------------------------------- */

typedef struct { const char *name, *value; } wasgi_variable;
typedef struct { wasgi_variable *variables; size_t count; } wasgi_environ;

/* The value of `name`, as "HTTP_ACCEPT"; NULL where there is none. */
const char *wasgi_get(const wasgi_environ *environ, const char *name);

/* PEP 3333, "URL Reconstruction": as wsgiref.util's functions of these names. */
const char *wasgi_request_uri(const wasgi_environ *environ);
const char *wasgi_application_uri(const wasgi_environ *environ);
/* "http" or "https". */
const char *wasgi_scheme(const wasgi_environ *environ);
/* Moves the first segment of PATH_INFO to SCRIPT_NAME; that segment, or NULL when there is none. */
const char *wasgi_shift_path_info(wasgi_environ *environ);

/* ---- input: PEP 3333, "Input and Error Streams" ------------------------------------------------------------------------------------ */

/* What reading may answer beside a length. */
enum { WASGI_DISCONNECTED = -1, WASGI_MALFORMED = -2, WASGI_TOO_LARGE = -3, WASGI_TIMED_OUT = -4, WASGI_NO_MEMORY = -5 };

/* Reads at most `size` bytes of the request's body, and waits for at least one; 0: the body is at its end. Below 0: one of the above, and
 * a body that ended too early is an error, never an end. */
long wasgi_read(void *into, size_t size);
/* Reads up to and with the next line feed, at most `size` bytes; else as wasgi_read. */
long wasgi_read_line(void *into, size_t size);
/* Reads the rest, at most `limit` bytes of it (WASGI_TOO_LARGE: there are more), and puts a NUL behind it. The caller frees `*into`. */
long wasgi_read_all(char **into, size_t limit);
/* What an answer below 0 means, in words. */
const char *wasgi_input_error(long answer);

/* ---- errors: PEP 3333, "Input and Error Streams" ----------------------------------------------------------------------------------- */

/* Text (UTF-8) for the tenant's log; a line reaches it with its line feed. printf's formats. */
__attribute__((format(printf, 1, 2))) void wasgi_log(const char *format, ...);

/* ---- start_response: PEP 3333, "The start_response() Callable" -------------------------------------------------------------------- */

typedef struct { const char *name, *value; } wasgi_header;

/* Fields while they are put together, as wsgiref.headers.Headers has them; names compare without case. Begin with {NULL, 0}. Names and values
 * are not copied, but for what wasgi_headers_format forms. */
typedef struct { wasgi_header *headers; size_t count; } wasgi_headers;
void wasgi_headers_add(wasgi_headers *headers, const char *name, const char *value);
__attribute__((format(printf, 3, 4))) void wasgi_headers_format(wasgi_headers *headers, const char *name, const char *format, ...);
/* The one field of its name from now on. */
void wasgi_headers_set(wasgi_headers *headers, const char *name, const char *value);
void wasgi_headers_remove(wasgi_headers *headers, const char *name);
/* The first value; NULL where there is none. */
const char *wasgi_headers_get(const wasgi_headers *headers, const char *name);

/* Why a head was refused; 0: it was not. wasgi_raised() has the reason in words. */
typedef enum {
    WASGI_STARTED = 0,
    WASGI_INVALID_STATUS, /* not `NNN reason` with NNN from 200 to 599 */
    WASGI_INVALID_HEADER, /* says which, and why */
    WASGI_ALREADY_STARTED,
    WASGI_ALREADY_SENT,   /* the head is on the wire: return wasgi_reraise(), and the connection is aborted */
} wasgi_start_error;

/* Checks the head and stores it; nothing is sent yet. A refusal is raised: return wasgi_reraise(), or go on with another head. */
typedef wasgi_start_error wasgi_start_response(const char *status, const wasgi_header *headers, size_t count);

/* start_response with exc_info: replaces the stored head whole, because of `kind` ("ValueError") and `message`. */
wasgi_start_error wasgi_restart_response(const char *status, const wasgi_header *headers, size_t count, const char *kind, const char *message);

/* Why a chunk could not be sent; 0: it was. */
typedef enum { WASGI_WRITTEN = 0, WASGI_WRITE_DISCONNECTED, WASGI_TOO_MANY_BYTES, WASGI_WRITE_TIMED_OUT } wasgi_write_error;

/* PEP 3333, "The write() Callable": for code that cannot return its body. Any length; it goes out in chunks of 1 MiB. */
wasgi_write_error wasgi_write(const void *data, size_t length);

/* 103 Early Hints (RFC 8297): advice that the host may keep to itself. */
wasgi_start_error wasgi_early_hints(const wasgi_header *headers, size_t count);

/* ---- body: the iterable that an application returns ------------------------------------------------------------------------------- */

typedef struct { const void *data; size_t length; } wasgi_chunk;

/* What `next` answers. */
typedef enum { WASGI_END, WASGI_CHUNK, WASGI_RAISED } wasgi_step;

typedef struct {
    /* Sets `chunk` (it is read before the next call; what is longer than 1 MiB goes out in pieces) and answers WASGI_CHUNK; or WASGI_END; or, behind wasgi_raise,
     * WASGI_RAISED. NULL: an empty body. */
    wasgi_step (*next)(void *state, wasgi_chunk *chunk);
    /* Called exactly once, when the response is over, whatever ended it; frees `state`. 0, or -1 behind wasgi_raise. May be NULL. */
    int (*close)(void *state);
    void *state;
    /* len() of the iterable, or -1. With 1, the chunk's length becomes the Content-Length; it has at most 1 MiB then. */
    long chunks;
    /* Set by wasgi_raise. */
    int raised;
} wasgi_body;

/* Streaming: chunks that are made while they are sent. */
wasgi_body wasgi_stream(wasgi_step (*next)(void *, wasgi_chunk *), int (*close)(void *), void *state);

/* Simple: one chunk, which is copied. */
wasgi_body wasgi_bytes(const void *data, size_t length);
wasgi_body wasgi_text(const char *text);
__attribute__((format(printf, 1, 2))) wasgi_body wasgi_format(const char *format, ...);
wasgi_body wasgi_empty(void);
/* Simplest: the head and the body in one. */
wasgi_body wasgi_respond(const char *status, const char *content_type, const void *data, size_t length);

/* What went wrong, for the tenant's log; the client is answered with 500 and learns nothing. Return it from
 * `application`, or WASGI_RAISED from `next` and -1 from `close` behind it. */
__attribute__((format(printf, 2, 3))) wasgi_body wasgi_raise(const char *kind, const char *format, ...);
/* What was raised last, again: a head that was refused. */
wasgi_body wasgi_reraise(void);
/* The same in words; NULL: nothing was. */
const char *wasgi_raised(void);

/* ---- the application, which is yours ----------------------------------------------------------------------------------------------- */

wasgi_body application(wasgi_environ *environ, wasgi_start_response *start_response);

#ifdef __cplusplus
}
#endif
#endif
