/* Grows the table of its functions until it cannot, and answers by how many entries. */
#include "wasgi.h"

static int grows_by(int entries) {
    int before;
    __asm__ volatile(".tabletype __indirect_function_table, funcref\n"
            "ref.null_func\n"
            "local.get %1\n"
            "table.grow __indirect_function_table\n"
            "local.set %0\n"
            : "=r"(before)
            : "r"(entries));
    return before >= 0;
}

wasgi_body application(wasgi_environ *environ, wasgi_start_response *start_response) {
    (void)environ;
    size_t count = 0;
    while (grows_by(1 << 8)) count += 1 << 8;
    if (start_response("200 OK", NULL, 0)) return wasgi_reraise();
    return wasgi_format("%zu", count);
}
