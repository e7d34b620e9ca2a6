/* SPDX-License-Identifier: MIT */
/* Any bytes as an address, an ssh_config, a known_hosts and a key file: each is refused with a
 * sentence or understood, and what is understood holds nothing that a command line or a log would
 * take for more than it is. */
#include "protocol/ssh/key-file.h"
#include "protocol/ssh/known-hosts.h"
#include "protocol/ssh/ssh-address.h"
#include "protocol/ssh/ssh-config.h"

#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <string.h>

static void check_address(const char *text)
{
    _cleanup_ssh_address_ SshAddress a = {0};
    _cleanup_error_ Error err = {0};

    if (ssh_address_parse(text, &a, &err) < 0) {
        require(err.code == -EINVAL && !a.host);
        return;
    }
    require(a.host && *a.host && *a.host != '-' && !strpbrk(a.host, " \n'\"/@"));
    require(!a.user || (*a.user && *a.user != '-' && !strchr(a.user, '\n')));
    require(!a.path || (*a.path == '/' && !strchr(a.path, '\n')));
    for (size_t i = 0; i < a.n_members; i++) {
        require(a.members[i].name && a.members[i].value);
        require(ssh_address_get(&a, a.members[i].name) == a.members[i].value);
    }
}

static void check_config(const char *data, size_t size)
{
    SshConfig config = {
        .alias = strdup("web.example"),
        .address_family = -1,
        .is_identities_only = -1,
        .connect_timeout_ms = -1,
        .alive_interval_ms = -1,
        .alive_count = -1,
    };
    _cleanup_error_ Error err = {0};
    bool has_nul = memchr(data, '\0', size) != NULL;
    int r = ssh_config_parse(data, size, &config, &err);

    require(r == 0 ? !err.text
                   : r == -EINVAL && strstr(error_text(&err), has_nul ? "NUL" : "line "));
    require(config.identity_files.n <= SSH_CONFIG_VALUES_MAX);
    require(config.alive_interval_ms >= -1 && config.alive_count != 0);
    ssh_config_done(&config);
}

static void check_known_hosts(const char *data, size_t size)
{
    static const char *const types[] = {"ssh-ed25519", "ssh-rsa"};
    KnownHostsCheck check = {
        .host = "web.example", .key_type = "ssh-ed25519", .key = "0123", .key_len = 4};
    unsigned found;

    require(known_hosts_check(&check, "file", data, size) == 0);
    require((check.answer == KNOWN_HOSTS_UNKNOWN) == (check.place[0] == '\0'));
    require(known_hosts_find_types("web.example", data, size, types, 2, &found) == 0);
    require(found < 4);
}

static void check_key_file(const char *data, size_t size)
{
    _cleanup_key_file_ KeyFile key = {0};
    _cleanup_error_ Error err = {0};

    if (key_file_parse(data, size, &key, &err) < 0) {
        require(err.code == -EINVAL && key.blob.len == 0);
        return;
    }
    require(key.blob.len == 0 || key.type[0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = strndup((const char *)data, size);

    require(text != NULL);
    check_address(text);
    check_config((const char *)data, size);
    check_known_hosts((const char *)data, size);
    check_key_file((const char *)data, size);
    free(text);
    return 0;
}
