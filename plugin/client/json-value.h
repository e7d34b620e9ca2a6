/* SPDX-License-Identifier: MIT */
/* Between the public SlipwayJson and the Json that it is. */
#pragma once

#include "plugin/include/slipway.h"
#include "protocol/json.h"

static inline SlipwayJson *json_value_expose(Json *j)
{
    return (SlipwayJson *)j;
}

static inline Json *json_value_inner(const SlipwayJson *json)
{
    return (Json *)json;
}
