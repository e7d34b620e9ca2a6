/* SPDX-License-Identifier: MIT */
/* A letter for the relation, and then any bytes as what git says: its log, its list of files, its
 * diff. The text beside the button fits there, is UTF-8, and holds no character that could make it
 * look like something else; the lists agree with the counts. */
#include "agent/deploy/changes.h"

#include "protocol/base/text.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static void check_text(const char *text, size_t len)
{
    static const char *const pretenders[] = {"\xe2\x80\xae", "\xe2\x80\xaa", "\xe2\x81\xa6",
                                             "\xe2\x80\xa8", "\xc2\x9b",     "\x7f"};
    size_t lines = 1;

    require(text_is_utf8(text, len));
    for (size_t i = 0; i < len; i++) {
        require((unsigned char)text[i] >= 0x20 || text[i] == '\n');
        lines += text[i] == '\n';
    }
    require(lines <= CHANGES_LINES_MAX);
    for (size_t i = 0; i < sizeof(pretenders) / sizeof(pretenders[0]); i++) {
        require(!strstr(text, pretenders[i]));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ChangesBytes bytes = {(const char *)data + 1, size > 0 ? size - 1 : 0};
    _cleanup_json_ Json *outputs = NULL;
    const Json *text;
    ChangesFacts facts = {
        .environment = "prod",
        .from_commit = "1111111111111111111111111111111111111111",
        .to_commit = "2222222222222222222222222222222222222222",
        .coming = bytes,
        .going = bytes,
        .files = bytes,
        .configuration = bytes,
    };

    if (size == 0) {
        return 0;
    }
    facts.relation = data[0] % _CHANGES_RELATION_MAX;
    require(changes_describe(&facts, &outputs, NULL) == 0);
    text = json_get(outputs, "text");
    check_text(json_as_string(text), json_as_string_len(text));
    require(json_length(json_get(outputs, "commits")) <= CHANGES_COMMITS_MAX);
    require(json_length(json_get(outputs, "files")) <= CHANGES_FILES_MAX);
    require((int64_t)json_length(json_get(outputs, "commits")) <=
            json_get_int(outputs, "commitCount", -1));
    require((int64_t)json_length(json_get(outputs, "files")) <=
            json_get_int(outputs, "fileCount", -1));
    return 0;
}
