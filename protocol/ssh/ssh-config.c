/* SPDX-License-Identifier: MIT */
/* The rule of the format: the first value that is said for a host counts, so what was said before
 * (by the address, by the user's file, by an earlier block) is never replaced. */
#include "protocol/ssh/ssh-config.h"

#include "protocol/base/file.h"
#include "protocol/base/log.h"
#include "protocol/base/text.h"
#include "protocol/ssh/host-pattern.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define SYSTEM_DIRECTORY "/etc/ssh"
#define SPACE " \t\r\f\v"
#define TIMEOUT_MAX_S 60
#define ALIVE_INTERVAL_MAX_S 86400
#define ALIVE_COUNT_MAX 1000

/* One file (or text) being read. */
typedef struct Reader {
    SshConfig *config;
    const char *directory; /* of relative Includes; NULL: Include is passed over */
    unsigned depth;
    unsigned *n_files;
    bool is_active; /* the block that we are in is for this host */
} Reader;

/* Words of one line, quotes taken away. */
typedef struct Line {
    char *keyword;
    char *rest; /* the next word begins here */
} Line;

/* ---- values -----------------------------------------------------------------------------------
 */

/* The next word, which may be in double quotes; NULL: no more. Writes a NUL into the line. */
static char *next_word(Line *line, Error *err)
{
    char *word = line->rest + strspn(line->rest, SPACE), *end;

    if (!*word || *word == '#') {
        return NULL;
    }
    if (*word == '"') {
        end = strchr(++word, '"');
        if (!end) {
            (void)error_set(err, -EINVAL, "a quote is not closed");
            return NULL;
        }
    } else {
        end = word + strcspn(word, SPACE);
    }
    line->rest = *end ? end + 1 : end;
    *end = '\0';
    return word;
}

/* A quote that is not closed was told by next_word(). */
static int missing(const Line *line, const char *what, Error *err)
{
    return err->code ? err->code : error_set(err, -EINVAL, "%s needs %s", line->keyword, what);
}

static int set_text(char **value, Line *line, Error *err)
{
    char *word = next_word(line, err);

    if (!word || !*word) {
        return missing(line, "a value", err);
    }
    if (!*value) {
        *value = strdup(word);
    }
    return *value ? 0 : error_set(err, -ENOMEM, "out of memory");
}

static int read_number(Line *line, int64_t max, int64_t *ret, Error *err)
{
    char *word = next_word(line, err);

    if (!word || text_parse_int(word, 0, INT64_MAX, ret) < 0) {
        return missing(line, "a number", err);
    }
    *ret = MIN(*ret, max);
    return 0;
}

/* Times are seconds, or "1m30s" and the like. */
static int read_seconds(Line *line, int64_t max, int64_t *ret, Error *err)
{
    static const struct {
        char unit;
        int64_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};
    const char *word = next_word(line, err);
    int64_t sum = 0;

    if (!word || !*word) {
        return missing(line, "a time", err);
    }
    while (*word) {
        int64_t n = 0, factor = *word ? 1 : 0;

        if (!isdigit((unsigned char)*word)) {
            return missing(line, "a time", err);
        }
        for (; isdigit((unsigned char)*word); word++) {
            n = MIN(n * 10 + (*word - '0'), (int64_t)INT32_MAX);
        }
        for (size_t i = 0; *word && i < ARRAY_SIZE(units); i++) {
            if (tolower((unsigned char)*word) == units[i].unit) {
                factor = units[i].seconds;
                word++;
                break;
            }
        }
        if (*word && !isdigit((unsigned char)*word)) {
            return missing(line, "a time", err);
        }
        sum = MIN(sum + n * factor, max);
    }
    *ret = sum;
    return 0;
}

static int add_value(SshConfigList *list, const char *text, Error *err)
{
    if (list->n == SSH_CONFIG_VALUES_MAX) {
        return error_set(err, -EINVAL, "more than %d values", SSH_CONFIG_VALUES_MAX);
    }
    list->items[list->n] = strdup(text);
    if (!list->items[list->n]) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    list->n++;
    return 0;
}

/* ---- keywords ---------------------------------------------------------------------------------
 */

static int set_host_name(SshConfig *c, Line *line, Error *err)
{
    return set_text(&c->host_name, line, err);
}

static int set_user(SshConfig *c, Line *line, Error *err)
{
    return set_text(&c->user, line, err);
}

static int set_host_key_alias(SshConfig *c, Line *line, Error *err)
{
    return set_text(&c->host_key_alias, line, err);
}

static int set_identity_agent(SshConfig *c, Line *line, Error *err)
{
    return set_text(&c->identity_agent, line, err);
}

static int set_port(SshConfig *c, Line *line, Error *err)
{
    int64_t port;
    int r = read_number(line, INT64_MAX, &port, err);

    if (r == 0 && (port < 1 || port > UINT16_MAX)) {
        r = error_set(err, -EINVAL, "Port is a number from 1 to 65535");
    }
    if (r == 0 && c->port == 0) {
        c->port = (uint16_t)port;
    }
    return r;
}

static int set_address_family(SshConfig *c, Line *line, Error *err)
{
    static const struct {
        const char *name;
        int family;
    } families[] = {{"any", AF_UNSPEC}, {"inet", AF_INET}, {"inet6", AF_INET6}};
    const char *word = next_word(line, err);

    for (size_t i = 0; word && i < ARRAY_SIZE(families); i++) {
        if (strcasecmp(word, families[i].name) == 0) {
            c->address_family = c->address_family < 0 ? families[i].family : c->address_family;
            return 0;
        }
    }
    return error_set(err, -EINVAL, "AddressFamily is any, inet or inet6");
}

static int set_identities_only(SshConfig *c, Line *line, Error *err)
{
    const char *word = next_word(line, err);
    bool is_yes = word && strcasecmp(word, "yes") == 0;

    if (!word || (!is_yes && strcasecmp(word, "no") != 0)) {
        return error_set(err, -EINVAL, "IdentitiesOnly is yes or no");
    }
    c->is_identities_only = c->is_identities_only < 0 ? is_yes : c->is_identities_only;
    return 0;
}

static int set_connect_timeout(SshConfig *c, Line *line, Error *err)
{
    int64_t seconds;
    int r = read_seconds(line, TIMEOUT_MAX_S, &seconds, err);

    if (r == 0 && c->connect_timeout_ms < 0) {
        c->connect_timeout_ms = seconds > 0 ? seconds * 1000 : SSH_CONNECT_TIMEOUT_MS;
    }
    return r;
}

static int set_alive_interval(SshConfig *c, Line *line, Error *err)
{
    int64_t seconds;
    int r = read_seconds(line, ALIVE_INTERVAL_MAX_S, &seconds, err);

    if (r == 0 && c->alive_interval_ms < 0) {
        c->alive_interval_ms = seconds * 1000;
    }
    return r;
}

static int set_alive_count(SshConfig *c, Line *line, Error *err)
{
    int64_t count;
    int r = read_number(line, ALIVE_COUNT_MAX, &count, err);

    if (r == 0 && c->alive_count < 0) {
        c->alive_count = MAX(count, (int64_t)1);
    }
    return r;
}

/* Every IdentityFile counts, unlike all else. */
static int add_identity_file(SshConfig *c, Line *line, Error *err)
{
    const char *word = next_word(line, err);

    if (!word || !*word) {
        return missing(line, "a file", err);
    }
    c->identity_files.is_set = true;
    return strcasecmp(word, "none") == 0 ? 0 : add_value(&c->identity_files, word, err);
}

static int set_files(SshConfigList *list, Line *line, Error *err)
{
    bool is_first = !list->is_set;
    const char *word;

    list->is_set = true;
    while ((word = next_word(line, err))) {
        int r = is_first && strcasecmp(word, "none") != 0 ? add_value(list, word, err) : 0;

        if (r < 0) {
            return r;
        }
    }
    return 0;
}

static int set_known_hosts(SshConfig *c, Line *line, Error *err)
{
    return set_files(&c->known_hosts, line, err);
}

static int set_system_known_hosts(SshConfig *c, Line *line, Error *err)
{
    return set_files(&c->system_known_hosts, line, err);
}

/* Whichever of the two comes first; "none" is a value, too. */
static int set_proxy(SshConfig *c, Line *line, Error *err)
{
    const char *word = next_word(line, err);

    if (!word) {
        return missing(line, "a value", err);
    }
    if (!c->needs_program) {
        c->needs_program = strdup(strcasecmp(word, "none") == 0 ? "" : line->keyword);
    }
    return c->needs_program ? 0 : error_set(err, -ENOMEM, "out of memory");
}

static const struct {
    const char *name;
    int (*set)(SshConfig *config, Line *line, Error *err);
} keywords[] = {
    {"hostname", set_host_name},
    {"user", set_user},
    {"port", set_port},
    {"hostkeyalias", set_host_key_alias},
    {"addressfamily", set_address_family},
    {"identityfile", add_identity_file},
    {"identitiesonly", set_identities_only},
    {"identityagent", set_identity_agent},
    {"userknownhostsfile", set_known_hosts},
    {"globalknownhostsfile", set_system_known_hosts},
    {"connecttimeout", set_connect_timeout},
    {"serveraliveinterval", set_alive_interval},
    {"serveralivecountmax", set_alive_count},
    {"proxyjump", set_proxy},
    {"proxycommand", set_proxy},
};

/* ---- lines ------------------------------------------------------------------------------------
 */

static int read_file(Reader *parent, const char *path, Error *err);

/* ~/x, %h and the like. The caller's. */
static int expand(const SshConfig *c, const char *text, char **ret, Error *err)
{
    _cleanup_buffer_ Buffer b = {0};
    int r = 0;

    if (text_has_prefix(text, "~/") && c->home) {
        r = buffer_append_text(&b, c->home);
        text++;
    }
    for (; r == 0 && *text; text++) {
        char number[24];
        const char *value = number;

        if (*text != '%') {
            r = buffer_append(&b, text, 1);
            continue;
        }
        switch (*++text) {
        case '%':
            value = "%";
            break;
        case 'h':
            value = c->host_name ? c->host_name : c->alias;
            break;
        case 'n':
            value = c->alias;
            break;
        case 'r':
            value = c->user ? c->user : "";
            break;
        case 'd':
            value = c->home ? c->home : "";
            break;
        case 'k':
            value = c->host_key_alias ? c->host_key_alias : c->alias;
            break;
        case 'p':
            (void)snprintf(number, sizeof(number), "%u", c->port);
            break;
        case 'i':
            (void)snprintf(number, sizeof(number), "%u", (unsigned)getuid());
            break;
        default:
            return error_set(err, -EINVAL, "'%%%c' is not understood", *text ? *text : ' ');
        }
        r = buffer_append_text(&b, value);
    }
    *ret = r == 0 ? buffer_take_text(&b) : NULL;
    return *ret ? 0 : error_set(err, -ENOMEM, "out of memory");
}

static int include_one(Reader *reader, const char *word, Error *err)
{
    _cleanup_free_ char *expanded = NULL, *pattern = NULL;
    glob_t found = {0};
    int r = expand(reader->config, word, &expanded, err);

    if (r < 0) {
        return r;
    }
    if (*expanded == '/') {
        pattern = TAKE_PTR(expanded);
    } else if (asprintf(&pattern, "%s/%s", reader->directory, expanded) < 0) {
        pattern = NULL;
    }
    if (!pattern) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    if (glob(pattern, 0, NULL, &found) == 0) {
        for (size_t i = 0; r == 0 && i < found.gl_pathc; i++) {
            r = read_file(reader, found.gl_pathv[i], err);
        }
    }
    globfree(&found);
    return r;
}

/* Blocks of an included file end with it. */
static int include(Reader *reader, Line *line, Error *err)
{
    const char *word;
    int r = 0;

    while (r == 0 && reader->directory && reader->is_active && (word = next_word(line, err))) {
        r = include_one(reader, word, err);
    }
    return r;
}

static int begin_host(Reader *reader, Line *line, Error *err)
{
    bool is_in = false, is_out = false;
    const char *word;

    while ((word = next_word(line, err))) {
        bool is_excluded = *word == '!';

        if (host_pattern_matches(word + is_excluded, reader->config->alias)) {
            is_in |= !is_excluded;
            is_out |= is_excluded;
        }
    }
    reader->is_active = is_in && !is_out;
    return 0;
}

/* "keyword value", "keyword = value", "keyword=value" */
static bool split(char *text, Line *line)
{
    char *end;

    text += strspn(text, SPACE);
    if (!*text || *text == '#') {
        return false;
    }
    end = text + strcspn(text, SPACE "=");
    line->keyword = text;
    line->rest = end + strspn(end, SPACE);
    line->rest += *line->rest == '=';
    *end = '\0';
    return true;
}

static int take_line(Reader *reader, char *text, Error *err)
{
    _cleanup_error_ Error problem = {0};
    Line line;
    int r = 0;

    if (!split(text, &line)) {
        return 0;
    }
    if (strcasecmp(line.keyword, "host") == 0) {
        r = begin_host(reader, &line, &problem);
    } else if (strcasecmp(line.keyword, "match") == 0) {
        log_debug("ssh_config: 'Match %s' is not for us, passing over its block", line.rest);
        reader->is_active = false;
    } else if (strcasecmp(line.keyword, "include") == 0) {
        r = include(reader, &line, &problem);
    } else {
        for (size_t i = 0; reader->is_active && i < ARRAY_SIZE(keywords); i++) {
            if (strcasecmp(line.keyword, keywords[i].name) == 0) {
                r = keywords[i].set(reader->config, &line, &problem);
                break;
            }
        }
    }
    r = r == 0 ? problem.code : r; /* a quote that is not closed */
    return r < 0 ? error_set(err, r, "%s", error_text(&problem)) : 0;
}

static int take_lines(Reader *reader, char *text, size_t n, Error *err)
{
    size_t number = 1;

    if (strlen(text) != n) {
        return error_set(err, -EINVAL, "there is a NUL byte in it");
    }
    for (char *line = text, *next; line; line = next, number++) {
        char *end = strchr(line, '\n');
        int r;

        next = end ? end + 1 : NULL;
        if (end) {
            *end = '\0';
        }
        r = take_line(reader, line, err);
        if (r < 0) {
            return error_wrap(err, "line %zu", number);
        }
    }
    return 0;
}

static int read_file(Reader *parent, const char *path, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(SSH_CONFIG_SIZE_MAX);
    Reader reader = *parent;
    int r;

    if (reader.depth++ >= SSH_CONFIG_DEPTH_MAX || ++*reader.n_files > SSH_CONFIG_FILES_MAX) {
        return error_set(err, -EINVAL, "'%s': too many files that include files", path);
    }
    r = file_read(AT_FDCWD, path, &text, err);
    if (r < 0) {
        return r;
    }
    r = buffer_append(&text, "", 0);
    r = r == 0 && text.data ? take_lines(&reader, text.data, text.len, err) : r;
    return r < 0 ? error_wrap(err, "'%s'", path) : 0;
}

int ssh_config_parse(const char *text, size_t n, SshConfig *config, Error *err)
{
    _cleanup_free_ char *copy = strndup(text, n);
    unsigned n_files = 0;
    Reader reader = {.config = config, .is_active = true, .n_files = &n_files};

    if (!copy) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    return take_lines(&reader, copy, n, err);
}

/* ---- defaults ---------------------------------------------------------------------------------
 */

static int expand_all(const SshConfig *c, SshConfigList *list, Error *err)
{
    for (size_t i = 0; i < list->n; i++) {
        char *expanded;
        int r = expand(c, list->items[i], &expanded, err);

        if (r < 0) {
            return r;
        }
        free(list->items[i]);
        list->items[i] = expanded;
    }
    return 0;
}

static int default_list(SshConfigList *list, const char *const *values, size_t n, Error *err)
{
    int r = 0;

    for (size_t i = 0; r == 0 && !list->is_set && i < n; i++) {
        r = add_value(list, values[i], err);
    }
    return r;
}

/* The order of ssh(1). */
static const char *const default_identities[] = {
    "~/.ssh/id_rsa",     "~/.ssh/id_ecdsa",      "~/.ssh/id_ecdsa_sk",
    "~/.ssh/id_ed25519", "~/.ssh/id_ed25519_sk",
};
static const char *const default_known_hosts[] = {"~/.ssh/known_hosts", "~/.ssh/known_hosts2"};
static const char *const default_system_known_hosts[] = {SYSTEM_DIRECTORY "/ssh_known_hosts",
                                                         SYSTEM_DIRECTORY "/ssh_known_hosts2"};

static void drop_missing(SshConfigList *list)
{
    size_t n = 0;

    for (size_t i = 0; i < list->n; i++) {
        if (access(list->items[i], F_OK) == 0) {
            list->items[n++] = list->items[i];
        } else {
            free(list->items[i]);
        }
    }
    list->n = n;
}

static int fill_in_texts(SshConfig *c, const struct passwd *self, Error *err)
{
    char *host = NULL, *agent = NULL;
    int r = 0;

    if (c->host_name) {
        char *own = TAKE_PTR(c->host_name); /* %h in it is what was asked for */

        r = expand(c, own, &host, err);
        free(own);
    }
    c->host_name = host ? host : strdup(c->alias);
    if (!c->user && self) {
        c->user = strdup(self->pw_name);
    }
    if (r == 0 && c->identity_agent && strcasecmp(c->identity_agent, "SSH_AUTH_SOCK") == 0) {
        free(TAKE_PTR(c->identity_agent));
    } else if (r == 0 && c->identity_agent && *c->identity_agent == '$') {
        const char *value = getenv(c->identity_agent + 1);

        agent = strdup(value ? value : "none");
    } else if (r == 0 && c->identity_agent) {
        r = expand(c, c->identity_agent, &agent, err);
    }
    if (agent) {
        free(c->identity_agent);
        c->identity_agent = agent;
    }
    if (r == 0 && (!c->host_name || !c->user)) {
        r = error_set(err, c->host_name ? -ENOENT : -ENOMEM,
                      c->host_name ? "this user has no name to log in with" : "out of memory");
    }
    return r;
}

static int fill_in(SshConfig *c, const struct passwd *self, Error *err)
{
    bool has_own_identities = c->identity_files.is_set;
    int r;

    c->port = c->port ? c->port : SSH_PORT;
    r = fill_in_texts(c, self, err);
    c->address_family = MAX(c->address_family, 0);
    c->is_identities_only = MAX(c->is_identities_only, 0);
    c->connect_timeout_ms =
        c->connect_timeout_ms < 0 ? SSH_CONNECT_TIMEOUT_MS : c->connect_timeout_ms;
    c->alive_interval_ms = c->alive_interval_ms < 0 ? SSH_ALIVE_INTERVAL_MS : c->alive_interval_ms;
    c->alive_count = c->alive_count < 0 ? SSH_ALIVE_COUNT : c->alive_count;
    if (c->needs_program && !*c->needs_program) {
        free(TAKE_PTR(c->needs_program));
    }
    r = r == 0 ? default_list(&c->identity_files, default_identities,
                              ARRAY_SIZE(default_identities), err)
               : r;
    r = r == 0 ? default_list(&c->known_hosts, default_known_hosts, ARRAY_SIZE(default_known_hosts),
                              err)
               : r;
    r = r == 0 ? default_list(&c->system_known_hosts, default_system_known_hosts,
                              ARRAY_SIZE(default_system_known_hosts), err)
               : r;
    r = r == 0 ? expand_all(c, &c->identity_files, err) : r;
    r = r == 0 ? expand_all(c, &c->known_hosts, err) : r;
    r = r == 0 ? expand_all(c, &c->system_known_hosts, err) : r;
    if (r == 0 && !has_own_identities) {
        drop_missing(&c->identity_files); /* one that was named and is missing is told */
    }
    return r;
}

static int read_files(SshConfig *c, const char *path, Error *err)
{
    _cleanup_free_ char *user_directory = NULL, *user_path = NULL;
    unsigned n_files = 0;
    Reader reader = {.config = c, .is_active = true, .n_files = &n_files};
    int r = 0;

    if (c->home && (asprintf(&user_directory, "%s/.ssh", c->home) < 0 ||
                    asprintf(&user_path, "%s/.ssh/config", c->home) < 0)) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    reader.directory = user_directory ? user_directory : SYSTEM_DIRECTORY;
    if (path) {
        return read_file(&reader, path, err);
    }
    if (user_path && access(user_path, F_OK) == 0) {
        r = read_file(&reader, user_path, err);
    }
    reader.directory = SYSTEM_DIRECTORY;
    if (r == 0 && access(SYSTEM_DIRECTORY "/ssh_config", F_OK) == 0) {
        r = read_file(&reader, SYSTEM_DIRECTORY "/ssh_config", err);
    }
    return r;
}

int ssh_config_load(const SshAddress *address, const char *path, SshConfig *ret, Error *err)
{
    const struct passwd *self = getpwuid(getuid()); /* as ssh does, whatever $HOME says */
    const char *home = self ? self->pw_dir : getenv("HOME");
    SshConfig config = {
        .path = path ? strdup(path) : NULL,
        .alias = strdup(address->host),
        .home = home ? strdup(home) : NULL,
        .user = address->user ? strdup(address->user) : NULL,
        .port = address->port,
        .address_family = -1,
        .is_identities_only = -1,
        .connect_timeout_ms = -1,
        .alive_interval_ms = -1,
        .alive_count = -1,
    };
    int r = 0;

    if (!config.alias || (path && !config.path) || (home && !config.home) ||
        (address->user && !config.user)) {
        r = error_set(err, -ENOMEM, "out of memory");
    }
    r = r == 0 ? read_files(&config, path, err) : r;
    r = r == 0 ? fill_in(&config, self, err) : r;
    if (r < 0) {
        ssh_config_done(&config);
        return r;
    }
    *ret = config;
    return 0;
}

static void list_done(SshConfigList *list)
{
    for (size_t i = 0; i < list->n; i++) {
        free(list->items[i]);
    }
    *list = (SshConfigList){0};
}

void ssh_config_done(SshConfig *c)
{
    free(c->path);
    free(c->home);
    free(c->alias);
    free(c->host_name);
    free(c->host_key_alias);
    free(c->user);
    free(c->identity_agent);
    free(c->needs_program);
    list_done(&c->identity_files);
    list_done(&c->known_hosts);
    list_done(&c->system_known_hosts);
    *c = (SshConfig){0};
}
