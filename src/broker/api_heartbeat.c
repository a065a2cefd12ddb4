// SPDX-License-Identifier: Apache-2.0
/* broker/api_heartbeat.c - Heartbeat: a member lives, and learns whether the group rebalances. */
#include "broker/group_call.h"
#include "wire/gen/heartbeat.h"

static void start(struct request *request)
{
    const struct heartbeat_request *body = request->body;
    group_call__start(request, COORD_HEARTBEAT, body->group_id);
}

const struct api_row api__heartbeat = {
    .key = API_HEARTBEAT, .version_min = 0, .version_max = 4, .start = start, .resume = group_call__reply};
