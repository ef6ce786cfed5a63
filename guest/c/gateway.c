/* Bytes and text on their way through the boundary, and the memory that the host asks for. */
#include "gateway.h"

#include <stdlib.h>
#include <string.h>

/* The host puts what it hands over here (canonical ABI, `realloc`). */
__attribute__((export_name("cabi_realloc"))) void *cabi_realloc(void *old, size_t old_size, size_t align, size_t size) {
    (void)old_size;
    if (size == 0) return (void *)align;
    /* One byte more: the NUL that C strings end with. malloc aligns to 16. */
    void *memory = realloc(old, size + 1);
    if (!memory) abort();
    return memory;
}

/* The length of the UTF-8 sequence that `text` begins with; 0: it begins with none (RFC 3629). */
static size_t sequence(const unsigned char *text, size_t length) {
    unsigned char first = text[0];
    size_t wanted = first < 0x80 ? 1 : first >= 0xC2 && first < 0xE0 ? 2 : first >= 0xE0 && first < 0xF0 ? 3 : first >= 0xF0 && first < 0xF5 ? 4 : 0;
    if (wanted == 0 || wanted > length) return 0;
    for (size_t at = 1; at < wanted; at++)
        if ((text[at] & 0xC0) != 0x80) return 0;
    /* Too long, a surrogate, or beyond U+10FFFF. */
    if ((first == 0xE0 && text[1] < 0xA0) || (first == 0xED && text[1] > 0x9F)) return 0;
    if ((first == 0xF0 && text[1] < 0x90) || (first == 0xF4 && text[1] > 0x8F)) return 0;
    return wanted;
}

gateway_list gateway_utf8(gateway_list text) {
    gateway_list valid = {malloc(3 * text.length + 1), 0};
    if (!valid.data) abort();
    for (size_t at = 0; at < text.length;) {
        size_t length = sequence((const unsigned char *)text.data + at, text.length - at);
        memcpy(valid.data + valid.length, length ? text.data + at : "\xEF\xBF\xBD", length ? length : 3);
        valid.length += length ? length : 3;
        at += length ? length : 1;
    }
    valid.data[valid.length] = 0;
    return valid;
}

/* What lives as long as the request. */
static struct { void **memories; size_t count; } kept;

void *gateway_keep(void *memory) {
    void **grown = realloc(kept.memories, (kept.count + 1) * sizeof *grown);
    if (!grown) abort();
    kept.memories = grown;
    return kept.memories[kept.count++] = memory;
}

void gateway_begin_memory(void) {
    while (kept.count > 0) free(kept.memories[--kept.count]);
}

gateway_list gateway_text(const char *text) {
    return (gateway_list){(char *)text, text ? strlen(text) : 0};
}

gateway_list gateway_native(const char *bytes) {
    gateway_list text = {malloc(2 * strlen(bytes) + 1), 0};
    if (!text.data) abort();
    for (const unsigned char *byte = (const unsigned char *)bytes; *byte; byte++) {
        if (*byte >= 0x80) text.data[text.length++] = (char)(0xC0 | *byte >> 6);
        text.data[text.length++] = (char)(*byte < 0x80 ? *byte : (0x80 | (*byte & 0x3F)));
    }
    return text;
}

char *gateway_bytes(gateway_list text) {
    if (text.length == 0) return "";
    size_t length = 0;
    for (size_t at = 0; at < text.length; at++) {
        unsigned char byte = (unsigned char)text.data[at];
        /* Only U+0000 to U+00FF: two bytes at most. */
        if (byte >= 0x80 && at + 1 < text.length) byte = (unsigned char)(byte << 6 | (text.data[++at] & 0x3F));
        text.data[length++] = (char)byte;
    }
    text.data[length] = 0;
    return text.data;
}
