/* SPDX-License-Identifier: MIT */
/* Any bytes as agent.json: a configuration in which everything has its value, or mistakes with
 * their places. */
#include "agent/calls/agent-config.h"
#include "protocol/base/fd.h"
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void check(const AgentConfig *config)
{
    require(config->name && config->state_directory[0] == '/' && config->slots >= 1);
    for (size_t i = 0; i < config->n_actions; i++) {
        const ActionConfig *action = &config->actions[i];
        _cleanup_json_ Json *parameters = NULL, *outputs = NULL;

        require(agent_config_find_action(config, action->name) == action);
        require(action->command && action->command[0][0] == '/');
        require(action->title && action->description && action->timeout_ms >= 0);
        require(action_config_load_schemas(action, &parameters, &outputs, NULL) == 0);
        require(parameters && outputs);
    }
    for (size_t i = 0; i < config->n_secrets; i++) {
        require(config->secrets[i].file[0] == '/');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_fd_ int fd = memfd_create("agent.json", MFD_CLOEXEC);
    _cleanup_(agent_config_freep) AgentConfig *config = NULL;
    _cleanup_error_ Error err = {0};
    char path[64];

    require(fd >= 0 && fd_write_all(fd, data, size) == 0);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (agent_config_load(path, "/state", &config, &err) == 0) {
        check(config);
    } else {
        require(!config && strlen(error_text(&err)) > 0);
    }
    return 0;
}
