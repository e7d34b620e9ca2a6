/* SPDX-License-Identifier: MIT */
#include "protocol/ssh/host-pattern.h"

#include <ctype.h>
#include <string.h>

static bool is_same(char a, char b)
{
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

/* The pattern is `n` bytes. Going back to the last star only is enough: what an earlier star could
 * take, the last one can take as well. */
static bool matches(const char *pattern, size_t n, const char *name)
{
    const char *end = pattern + n, *star = NULL, *retry = NULL;

    while (*name) {
        if (pattern < end && *pattern == '*') {
            star = pattern++;
            retry = name;
        } else if (pattern < end && (*pattern == '?' || is_same(*pattern, *name))) {
            pattern++;
            name++;
        } else if (star) {
            pattern = star + 1;
            name = ++retry;
        } else {
            return false;
        }
    }
    while (pattern < end && *pattern == '*') {
        pattern++;
    }
    return pattern == end;
}

bool host_pattern_matches(const char *pattern, const char *name)
{
    return matches(pattern, strlen(pattern), name);
}

bool host_pattern_list_matches(const char *list, const char *separators, const char *name)
{
    bool is_in = false;

    for (list += strspn(list, separators); *list; list += strspn(list, separators)) {
        size_t n = strcspn(list, separators);
        bool is_excluded = *list == '!';

        if (matches(list + is_excluded, n - is_excluded, name)) {
            if (is_excluded) {
                return false;
            }
            is_in = true;
        }
        list += n;
    }
    return is_in;
}
