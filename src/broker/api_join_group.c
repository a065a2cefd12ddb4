// SPDX-License-Identifier: Apache-2.0
/* broker/api_join_group.c - JoinGroup: a member comes, or comes again (KIP-62, 134, 345, 394, 559, 814). Answered when
 * the group's members are known, at the end of the rebalance. */
#include "broker/group_call.h"
#include "wire/gen/join_group.h"

static void start(struct request *request)
{
    const struct join_group_request *body = request->body;
    group_call__start(request, COORD_JOIN_GROUP, body->group_id);
}

const struct api_row api__join_group = {
    .key = API_JOIN_GROUP, .version_min = 0, .version_max = 9, .start = start, .resume = group_call__reply};
