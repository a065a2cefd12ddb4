// SPDX-License-Identifier: Apache-2.0
/* broker/quotas.h - who is over his quota, and how long he has to wait (KIP-13, 55, 124, 599, 612).
 *
 * What holds for a client is found in the image, most precise first:
 *
 *   user and client id, user and default client, user, default user and client id, both default, default user, client id,
 *   default client
 *
 * and whoever falls under the same user and client (as far as the quota names them, by default or not) shares one measure.
 * Until clients authenticate every user is ANONYMOUS, as in Kafka. One set of measures for all reactors under a lock, which is
 * taken only while there are quotas at all. At most QUOTA_MEASURES_MAX are kept: the one that was used longest ago makes room.
 */
#pragma once

#include "base/base.h"
#include "meta/meta.h"

enum quota_kind { QUOTA_PRODUCE, QUOTA_FETCH, QUOTA_REQUEST, QUOTA_MUTATION, QUOTA_CONNECTION, QUOTA_KINDS };
enum { QUOTA_MEASURES_MAX = 10000 };

struct quotas;
/* Windows are those of quota.window.num and .size.seconds, for mutations controller.quota.window.num and .size.seconds. */
struct quotas *quotas__create(const struct meta_settings *settings);
void quotas__free(struct quotas *quotas);

/* Produced and fetched bytes, or percents of a thread's second: counts them; how long the client has to wait, in ms. */
int64_t quotas__record(struct quotas *quotas, const struct meta_image *image, enum quota_kind kind,
                       struct slice client_id, double amount, int64_t now_ms);
/* What was recorded did not happen. */
void quotas__take_back(struct quotas *quotas, const struct meta_image *image, enum quota_kind kind,
                       struct slice client_id, double amount, int64_t now_ms);
/* What the quota allows in all windows but one; INFINITY without a quota. */
double quotas__window_max(const struct quotas *quotas, const struct meta_image *image, enum quota_kind kind,
                          struct slice client_id);
/* Partitions that are made or deleted. Strict: false, and nothing is counted, while the client owes some; who is granted
 * them is not made to wait. */
bool quotas__mutate(struct quotas *quotas, const struct meta_image *image, struct slice client_id, double amount,
                    bool is_strict, int64_t now_ms, int64_t *ret_throttle_ms);
/* A connection from that numeric address: 0, or it is one too many and not counted; ms until the rate allows one again. */
int64_t quotas__connection(struct quotas *quotas, const struct meta_image *image, const char *host, int64_t now_ms);
/* Of each kind, answers that told somebody to wait. */
void quotas__throttled(struct quotas *quotas, enum quota_kind kind);
uint64_t quotas__throttled_count(const struct quotas *quotas, enum quota_kind kind);
