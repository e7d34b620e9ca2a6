/* SPDX-License-Identifier: MIT */
#include "agent/http/http-response.h"

#include "protocol/base/text.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

void http_response_done(HttpResponse *response)
{
    buffer_done(&response->body);
    buffer_done(&response->headers);
    free(response->url);
    *response = (HttpResponse){0};
}

const char *http_response_header(const HttpResponse *response, const char *name, size_t index)
{
    size_t n = strlen(name);
    const char *line = buffer_text(&response->headers);
    const char *end = line + response->headers.len;

    for (; line < end; line += strlen(line) + 1) {
        if (strncasecmp(line, name, n) == 0 && line[n] == ':' && index-- == 0) {
            return line + n + 1 + strspn(line + n + 1, " \t");
        }
    }
    return NULL;
}

/* Of "HTTP/1.1 200 OK"; 0 where there is none. */
static int parse_status(const char *line, size_t n)
{
    const char *space = memchr(line, ' ', n);
    int status = 0;

    for (int i = 1; space && i <= 3; i++) {
        if (space + i >= line + n || space[i] < '0' || space[i] > '9') {
            return 0;
        }
        status = status * 10 + space[i] - '0';
    }
    return status >= 100 && status <= 599 ? status : 0;
}

int http_response_add_line(HttpResponse *response, const char *line, size_t n)
{
    size_t before = response->headers.len;
    int r;

    if (n >= 5 && memcmp(line, "HTTP/", 5) == 0) {
        buffer_clear(&response->headers);
        response->status = parse_status(line, n);
        return 0;
    }
    while (n > 0 && strchr(" \t\r\n", line[n - 1])) {
        n--;
    }
    if (!memchr(line, ':', n) || memchr(line, '\0', n)) {
        return 0;
    }
    r = buffer_append(&response->headers, line, n);
    r = r < 0 ? r : buffer_append(&response->headers, "", 1);
    if (r < 0) {
        buffer_truncate(&response->headers, before);
    }
    return r;
}

int http_response_json(const HttpResponse *response, Json **ret, Error *err)
{
    _cleanup_error_ Error problem = {0};
    Json *value = NULL;
    int r = json_parse(buffer_text(&response->body), response->body.len, &value, &problem);

    if (r < 0) {
        return error_set(err, r == -ENOMEM ? r : -EBADMSG, "the answer (status %d) is not JSON: %s",
                         response->status, error_text(&problem));
    }
    *ret = value;
    return 0;
}
