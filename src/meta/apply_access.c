// SPDX-License-Identifier: Apache-2.0
/* meta/apply_access.c - records of settings, quotas, ACLs, SCRAM credentials and delegation tokens.
 *
 * All the settings of a resource are one item, so a record copies that resource's entries; a resource without any is gone.
 * What is removed must be there, except quotas and tokens, whose removal Apache Kafka lets pass.
 */
#include "meta/meta__.h"
#include "wire/gen/records_metadata.h"

#include <errno.h>

/* Every content of a resource has a number of its own as long as the process lives, whichever image it is in. */
static uint64_t next_version(void)
{
    static _Atomic uint64_t last;
    return atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1;
}

static bool is_resource(int8_t type)
{
    return type == META_RESOURCE_TOPIC || type == META_RESOURCE_BROKER || type == META_RESOURCE_BROKER_LOGGER ||
           type == META_RESOURCE_CLIENT_METRICS || type == META_RESOURCE_GROUP;
}

void apply__remove_configs(struct meta_builder *builder, enum meta_config_resource type, struct slice name)
{
    struct meta_configs probe = {.type = (int8_t)type, .name = name};
    if (tree__find(builder->view.configs, &probe.item, item__by_resource))
        tree__remove(&builder->view.configs, &probe.item, item__by_resource);
}

/* The entries with `key` set or, where the value is null, without it; in the order of keys. */
static int32_t changed_entries(const struct meta_configs *before, struct meta_config_entry changed,
                               struct meta_config_entry *ret_entries)
{
    int32_t count = 0, i = 0, all = before ? before->entry_count : 0;
    while (i < all && slice_compare(before->entries[i].key, changed.key) < 0)
        ret_entries[count++] = before->entries[i++];
    if (i < all && slice_equal(before->entries[i].key, changed.key))
        i++;
    if (!slice_is_null(changed.value))
        ret_entries[count++] = changed;
    while (i < all)
        ret_entries[count++] = before->entries[i++];
    return count;
}

struct status apply__config(struct meta_builder *builder, const void *p)
{
    const struct config_record *record = p;
    if (!is_resource(record->resource_type))
        return builder__refuse(builder, ENOTSUP, "ConfigRecord: unknown type of resource %d", record->resource_type);
    enum meta_config_resource type = (enum meta_config_resource)record->resource_type;
    const struct meta_configs *before = meta_configs(&builder->view, type, record->resource_name);
    size_t room = before ? (size_t)before->entry_count + 1 : 1;
    struct meta_config_entry *entries = arena_array(&builder->arena, room, sizeof *entries);
    if (!entries)
        return builder__refuse(builder, EBADMSG, "ConfigRecord: too many settings of one resource");
    struct meta_configs next = {
        .type = record->resource_type, .name = record->resource_name, .version = next_version()};
    next.entry_count = changed_entries(before, (struct meta_config_entry){record->name, record->value}, entries);
    next.entries = entries;
    if (next.entry_count > 0)
        tree__put(&builder->view.configs, &item__copy_configs(&next)->item, item__by_resource);
    else
        apply__remove_configs(builder, type, record->resource_name);
    return STATUS_OK;
}

/* Inserts by type; false when the type is there already. */
static bool insert_part(struct meta_quota *quota, struct slice type, struct slice name)
{
    int32_t place = quota->part_count;
    while (place > 0 && slice_compare(quota->parts[place - 1].type, type) > 0)
        place--;
    if (place > 0 && slice_equal(quota->parts[place - 1].type, type))
        return false;
    memmove(&quota->parts[place + 1], &quota->parts[place],
            (size_t)(quota->part_count - place) * sizeof quota->parts[0]);
    quota->parts[place].type = type;
    quota->parts[place].name = name;
    quota->part_count++;
    return true;
}

struct status apply__quota(struct meta_builder *builder, const void *p)
{
    const struct client_quota_record *record = p;
    struct meta_quota quota = {.key = record->key, .value = record->value};
    bool fits = record->entity_count > 0 && record->entity_count <= (int32_t)COUNT_OF(quota.parts);
    for (int32_t i = 0; fits && i < record->entity_count; i++)
        fits = insert_part(&quota, record->entity[i].entity_type, record->entity[i].entity_name);
    if (!fits)
        return builder__refuse(builder, EBADMSG, "ClientQuotaRecord: an entity of %d parts", record->entity_count);
    if (!record->remove)
        tree__put(&builder->view.quotas, &item__copy_quota(&quota)->item, item__by_quota);
    else if (tree__find(builder->view.quotas, &quota.item, item__by_quota))
        tree__remove(&builder->view.quotas, &quota.item, item__by_quota);
    return STATUS_OK;
}

struct status apply__acl(struct meta_builder *builder, const void *p)
{
    const struct access_control_entry_record *record = p;
    struct meta_acl acl = {.id = record->id,
                           .resource_type = record->resource_type,
                           .pattern_type = record->pattern_type,
                           .operation = record->operation,
                           .permission_type = record->permission_type,
                           .resource_name = record->resource_name,
                           .principal = record->principal,
                           .host = record->host};
    if (tree__find(builder->view.acls, &acl.item, item__by_acl_id))
        return builder__refuse(builder, EBADMSG, "AccessControlEntryRecord: its id is taken");
    tree__put(&builder->view.acls, &item__copy_acl(&acl)->item, item__by_acl_id);
    return STATUS_OK;
}

struct status apply__remove_acl(struct meta_builder *builder, const void *p)
{
    const struct remove_access_control_entry_record *record = p;
    struct meta_acl probe = {.id = record->id};
    if (!tree__find(builder->view.acls, &probe.item, item__by_acl_id))
        return builder__refuse(builder, EBADMSG, "RemoveAccessControlEntryRecord: there is no such entry");
    tree__remove(&builder->view.acls, &probe.item, item__by_acl_id);
    return STATUS_OK;
}

struct status apply__scram(struct meta_builder *builder, const void *p)
{
    const struct user_scram_credential_record *record = p;
    struct meta_scram scram = {.user = record->name,
                               .mechanism = record->mechanism,
                               .iterations = record->iterations,
                               .salt = record->salt,
                               .stored_key = record->stored_key,
                               .server_key = record->server_key};
    if (scram.mechanism < 1 || scram.mechanism > 2)
        return builder__refuse(builder, ENOTSUP, "UserScramCredentialRecord: unknown mechanism %d", scram.mechanism);
    tree__put(&builder->view.scrams, &item__copy_scram(&scram)->item, item__by_scram);
    return STATUS_OK;
}

struct status apply__remove_scram(struct meta_builder *builder, const void *p)
{
    const struct remove_user_scram_credential_record *record = p;
    struct meta_scram probe = {.user = record->name, .mechanism = record->mechanism};
    if (!tree__find(builder->view.scrams, &probe.item, item__by_scram))
        return builder__refuse(builder, EBADMSG, "RemoveUserScramCredentialRecord: there is no such credential");
    tree__remove(&builder->view.scrams, &probe.item, item__by_scram);
    return STATUS_OK;
}

struct status apply__token(struct meta_builder *builder, const void *p)
{
    const struct delegation_token_record *record = p;
    struct meta_token token = {.token_id = record->token_id,
                               .owner = record->owner,
                               .requester = record->requester,
                               .renewers = record->renewers,
                               .renewer_count = record->renewers_count,
                               .issue_ms = record->issue_timestamp,
                               .max_ms = record->max_timestamp,
                               .expiration_ms = record->expiration_timestamp};
    tree__put(&builder->view.tokens, &item__copy_token(&token)->item, item__by_token_id);
    return STATUS_OK;
}

struct status apply__remove_token(struct meta_builder *builder, const void *p)
{
    const struct remove_delegation_token_record *record = p;
    struct meta_token probe = {.token_id = record->token_id};
    if (tree__find(builder->view.tokens, &probe.item, item__by_token_id))
        tree__remove(&builder->view.tokens, &probe.item, item__by_token_id);
    return STATUS_OK;
}
