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

static void reply(struct request *request)
{
    const struct join_group_response *response = group_call__response(request);
    if (!response)
        return;
    if (response->error_code == KAFKA_GROUP_MAX_SIZE_REACHED) {
        const struct join_group_request *body = request->body;
        atomic_fetch_add_explicit(&request->home->members_refused, 1, memory_order_relaxed);
        LOG(LOG_WARN, "broker",
            "group %.*s: a member was refused: group.max.size or ottla.group.partition.member.bytes.max",
            (int)body->group_id.size, (const char *)body->group_id.data);
    }
    request__reply(request, response);
}

const struct api_row api__join_group = {
    .key = API_JOIN_GROUP, .version_min = 0, .version_max = 9, .start = start, .resume = reply};
