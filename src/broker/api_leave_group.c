// SPDX-License-Identifier: Apache-2.0
/* broker/api_leave_group.c - LeaveGroup: members go, several at once from version 3 (KIP-345). */
#include "broker/group_call.h"
#include "wire/gen/leave_group.h"

static void start(struct request *request)
{
    const struct leave_group_request *body = request->body;
    group_call__start(request, COORD_LEAVE_GROUP, body->group_id);
}

const struct api_row api__leave_group = {
    .key = API_LEAVE_GROUP, .version_min = 0, .version_max = 5, .start = start, .resume = group_call__reply};
