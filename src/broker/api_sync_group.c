// SPDX-License-Identifier: Apache-2.0
/* broker/api_sync_group.c - SyncGroup: the leader gives the assignments, every member gets its own. Answered when the
 * group's record is committed. */
#include "broker/group_call.h"
#include "wire/gen/sync_group.h"

static void start(struct request *request)
{
    const struct sync_group_request *body = request->body;
    group_call__start(request, COORD_SYNC_GROUP, body->group_id);
}

const struct api_row api__sync_group = {
    .key = API_SYNC_GROUP, .version_min = 0, .version_max = 5, .start = start, .resume = group_call__reply};
