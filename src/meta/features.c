// SPDX-License-Identifier: Apache-2.0
/* meta/features.c - the feature levels this program knows: those of Apache Kafka 4.3.1 (KIP-584).
 *
 * A level above `max` in the metadata was written by something newer, and is refused rather than guessed at.
 */
#include "meta/meta.h"

static const struct meta_known_feature FEATURES[] = {
    {"metadata.version", 7, 30, 30},  {"eligible.leader.replicas.version", 0, 1, 1},
    {"group.version", 0, 1, 1},       {"kraft.version", 0, 1, 1},
    {"share.version", 0, 1, 1},       {"streams.version", 0, 1, 1},
    {"transaction.version", 0, 2, 2},
};

const struct meta_known_feature *meta_known_features(int *ret_count)
{
    *ret_count = (int)COUNT_OF(FEATURES);
    return FEATURES;
}
