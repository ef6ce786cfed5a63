/* What the files of the SDK share: the canonical ABI of the WIT package wasgi:gateway@0.1.0, spelled out (component-model, "CanonicalABI").
 * Text crosses it as UTF-8; native strings stand for bytes, and are turned into them here. */
#ifndef WASGI_GATEWAY_H
#define WASGI_GATEWAY_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "wasgi.h"

#define WASGI_IMPORT(interface, function) \
    __attribute__((import_module("wasgi:gateway/" interface "@0.1.0"), import_name(function)))
#define WASGI_EXPORT(function) __attribute__((export_name("wasgi:gateway/application@0.1.0#" function)))

/* string, list<u8> */
typedef struct { char *data; size_t length; } gateway_list;
/* tuple<string, string> */
typedef struct { gateway_list name, value; } gateway_pair;
/* record exc-info */
typedef struct { gateway_list kind, message, traceback; } gateway_exc_info;

_Static_assert(sizeof(gateway_pair) == 16 && sizeof(gateway_exc_info) == 24, "as the canonical ABI lays them out");

/* A native string's bytes as UTF-8, which the caller frees. */
gateway_list gateway_native(const char *bytes);
/* The other way, in place, with a NUL behind it. */
char *gateway_bytes(gateway_list text);
gateway_list gateway_text(const char *text);

/* A copy of text that is valid UTF-8, which alone crosses the boundary; the caller frees it. What is none becomes U+FFFD. */
gateway_list gateway_utf8(gateway_list text);

/* Frees `memory` when the next request begins; returns it. */
void *gateway_keep(void *memory);
void gateway_begin_memory(void);

/* Text as printf forms it; the caller frees it. What cannot be formed is told as such. */
gateway_list gateway_format(const char *format, va_list values);

/* What was raised last. */
extern gateway_exc_info gateway_raised;
/* Raises text that is formed already. */
void gateway_raise(const char *kind, gateway_list message);
/* Of the last exchange: nothing is left. */
void gateway_begin_input(void);
void gateway_begin_errors(void);

#endif
