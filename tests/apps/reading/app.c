/* Some bytes, a line, and what is left, line by line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wasgi.h"

wasgi_body reading_application(wasgi_environ *environ, wasgi_start_response *start_response) {
    (void)environ;
    char bytes[5], line[256], *text;
    size_t told, filled = 0;
    long length = 1;
    while (filled < sizeof bytes && (length = wasgi_read(bytes + filled, sizeof bytes - filled)) > 0) filled += (size_t)length;
    if (length <= 0) return wasgi_raise("InputError", "%s", wasgi_input_error(length));
    FILE *lines = open_memstream(&text, &told);
    fprintf(lines, "read %.5s\n", bytes);
    length = wasgi_read_line(line, sizeof line);
    fprintf(lines, "readline %.*s", (int)length, line);
    while ((length = wasgi_read_line(line, sizeof line)) > 0) {
        if (line[length - 1] == '\n') length--;
        fprintf(lines, "line %.*s\n", (int)length, line);
    }
    fclose(lines);
    if (start_response("200 OK", NULL, 0)) return wasgi_reraise();
    wasgi_body body = wasgi_bytes(text, told);
    free(text);
    return body;
}
