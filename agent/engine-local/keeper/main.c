/* SPDX-License-Identifier: MIT */
/* slipway-keeper: started by slipway-engine-local for each instance, by nobody else. */
#include "agent/engine-local/keeper/keeper.h"

#include "protocol/base/log.h"
#include "protocol/base/text.h"

#include <getopt.h>
#include <sys/prctl.h>

static KeeperOptions arg_options = {.directory = "/"};

static int take_option(int option, const char *value)
{
    switch (option) {
    case 'd':
        arg_options.directory = value;
        return 0;
    case 'l':
        arg_options.log_name = value;
        return 0;
    case 'b':
        return text_parse_int(value, 1, INT64_MAX, &arg_options.log_bytes);
    case 'f':
        return text_parse_int(value, 0, INT64_MAX, &arg_options.files_max);
    default:
        return -1;
    }
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"directory", required_argument, NULL, 'd'},
        {"log", required_argument, NULL, 'l'},
        {"log-bytes", required_argument, NULL, 'b'},
        {"files-max", required_argument, NULL, 'f'},
        {0},
    };
    _cleanup_error_ Error err = {0};
    int option;

    log_open("slipway-keeper");
    while ((option = getopt_long(argc, argv, "+", options, NULL)) >= 0) {
        if (take_option(option, optarg) < 0) {
            log_error("wrong option; slipway-engine-local starts this program, nobody else");
            return 2;
        }
    }
    if (optind >= argc || !arg_options.log_name || arg_options.log_bytes == 0) {
        log_error("slipway-engine-local starts this program, nobody else");
        return 2;
    }
    arg_options.command = argv + optind;
    if (keeper_run(&arg_options, &err) < 0) {
        log_error("%s", error_text(&err));
        return 1;
    }
    return 0;
}
