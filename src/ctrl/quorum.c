// SPDX-License-Identifier: Apache-2.0
/* ctrl/quorum.c - the quorum of one voter: the file quorum-state, and whether it is this node that votes.
 *
 *   kraft.version 0  {"clusterId":"","leaderId":1,"leaderEpoch":2,"votedId":-1,"appliedOffset":0,"currentVoters":
 *                    [{"voterId":1}],"data_version":0}
 *   kraft.version 1  {"leaderId":1,"leaderEpoch":2,"votedId":-1,"votedDirectoryId":"AAAAAAAAAAAAAAAAAAAAAA",
 *                    "data_version":1}
 *
 * An epoch is on the disk here before the first append of it, so no epoch is ever led twice. Whoever is no single voter is
 * refused: this program wins its elections because nobody else votes.
 */
#include "ctrl/ctrl__.h"

#include <stdlib.h>

enum { VOTERS_MAX_BYTES = 64 << 10 };

static void path_of(const char *directory, char ret_path[CTRL_PATH_BYTES])
{
    snprintf(ret_path, CTRL_PATH_BYTES, "%s/quorum-state", directory);
}

/* A number that follows "key":. */
static bool number_of(const char *text, const char *key, long *ret_number)
{
    const char *found = strstr(text, key);
    if (!found)
        return false;
    char *end;
    found += strlen(key);
    errno = 0;
    *ret_number = strtol(found, &end, 10);
    return end != found && errno == 0;
}

struct status ctrl__quorum_state_read(const char *directory, int32_t *ret_epoch)
{
    char path[CTRL_PATH_BYTES];
    path_of(directory, path);
    struct buffer bytes CLEANUP(buffer_free) = {0};
    bool exists;
    TRY(ctrl__file_read(path, &bytes, &exists));
    *ret_epoch = 0;
    if (!exists)
        return STATUS_OK;
    buffer_append(&bytes, "", 1);
    long epoch, version;
    const char *text = (const char *)bytes.data;
    if (!number_of(text, "\"leaderEpoch\":", &epoch) || !number_of(text, "\"data_version\":", &version) || epoch < 0 ||
        epoch >= INT32_MAX)
        return STATUS(EBADMSG, "read quorum-state: it holds no leader epoch");
    if (version < 0 || version > 1)
        return STATUS(ENOTSUP, "read quorum-state: its version is newer than this program");
    *ret_epoch = (int32_t)epoch;
    return STATUS_OK;
}

struct status ctrl__quorum_state_write(const char *directory, int32_t node_id, int32_t epoch, int16_t kraft_version)
{
    assert(epoch > 0);
    char path[CTRL_PATH_BYTES], nobody[UUID_TEXT_SIZE];
    path_of(directory, path);
    uuid_to_text(UUID_ZERO, nobody);
    struct buffer text CLEANUP(buffer_free) = {0};
    if (kraft_version == 0)
        buffer_printf(&text,
                      "{\"clusterId\":\"\",\"leaderId\":%d,\"leaderEpoch\":%d,\"votedId\":-1,\"appliedOffset\":0,"
                      "\"currentVoters\":[{\"voterId\":%d}],\"data_version\":0}",
                      (int)node_id, (int)epoch, (int)node_id);
    else
        buffer_printf(&text,
                      "{\"leaderId\":%d,\"leaderEpoch\":%d,\"votedId\":-1,\"votedDirectoryId\":\"%s\","
                      "\"data_version\":1}",
                      (int)node_id, (int)epoch, nobody);
    return ctrl__file_replace(path, ".tmp", text.data, text.size);
}

/* ---- who votes */
static struct status static_check(const char *voters, int32_t node_id)
{
    char *end;
    if (!voters || !voters[0]) {
        LOG(LOG_ERROR, "ctrl",
            "no voter: the metadata directory was formatted for static voters, but controller.quorum.voters is not "
            "set");
        return STATUS(ENOTSUP, "open the metadata log: there is no voter");
    }
    long id = strtol(voters, &end, 10);
    if (strchr(voters, ',') || end == voters || *end != '@' || id != node_id) {
        LOG(LOG_ERROR, "ctrl", "controller.quorum.voters is %s: only a quorum of this node alone (%d) is served",
            voters, (int)node_id);
        return STATUS(ENOTSUP, "open the metadata log: this node is not the only voter");
    }
    return STATUS_OK;
}

static struct status voters_check(const struct voters_record *voters, int32_t node_id, struct uuid directory_id)
{
    if (voters->voters_count != 1) {
        LOG(LOG_ERROR, "ctrl", "the quorum has %d voters: only a quorum of this node alone (%d) is served",
            (int)voters->voters_count, (int)node_id);
        return STATUS(ENOTSUP, "open the metadata log: this node is not the only voter");
    }
    const struct voters_record_voter *voter = &voters->voters[0];
    char theirs[UUID_TEXT_SIZE], ours[UUID_TEXT_SIZE];
    uuid_to_text(voter->voter_directory_id, theirs);
    uuid_to_text(directory_id, ours);
    if (voter->voter_id != node_id || !uuid_equal(voter->voter_directory_id, directory_id)) {
        LOG(LOG_ERROR, "ctrl", "the quorum's voter is node %d with directory %s, this is node %d with directory %s",
            (int)voter->voter_id, theirs, (int)node_id, ours);
        return STATUS(ENOTSUP, "open the metadata log: the voter is another node");
    }
    return STATUS_OK;
}

struct status ctrl__quorum_check(const struct ctrl__quorum *quorum, int32_t node_id, struct uuid directory_id,
                                 const char *static_voters)
{
    if (quorum->kraft_version == 0)
        return static_check(static_voters, node_id);
    struct wire_reader r;
    struct arena arena;
    struct voters_record voters;
    arena_init(&arena, 1024, VOTERS_MAX_BYTES);
    wire_reader_init(&r, quorum->voters.data, quorum->voters.size);
    voters_record_read(&r, 0, &arena, &voters);
    bool is_sound = wire_reader_finish(&r) && !arena.failed;
    struct status s = is_sound ? voters_check(&voters, node_id, directory_id)
                               : STATUS(EBADMSG, "read the metadata log: its Voters record is broken");
    arena_free(&arena);
    return s;
}
