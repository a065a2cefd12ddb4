// SPDX-License-Identifier: Apache-2.0
/* broker/live_settings.c - settings that may change while the broker runs.
 *
 * Dynamic ones arrive with an image; those of the file when it is read again. Whoever needs one asks at the moment of need,
 * or keeps it together with the version it was asked under. The file's settings are swapped as a whole by the control
 * thread, which then sees to it that topics get what they inherit; readers may hold the old ones, so those stay until the end.
 */
#include "broker/broker__.h"

void broker__settings_init(struct broker *broker)
{
    atomic_store(&broker->settings, broker->options.settings);
    broker->settings_mail.kind = MAIL_WAKE;
}

void broker__settings_free(struct broker *broker)
{
    meta_settings_free(atomic_load(&broker->settings_handed));
    for (int i = 0; i < broker->settings_kept_count; i++)
        meta_settings_free(broker->settings_kept[i]);
    mem_free(broker->settings_kept);
}

const struct meta_settings *broker__settings(const struct broker *broker)
{
    return atomic_load_explicit(&broker->settings, memory_order_acquire);
}

/* ---- the file is read again */
void broker_settings_replace(struct broker *broker, struct meta_settings *settings)
{
    meta_settings_free(atomic_exchange(&broker->settings_handed, settings)); // one that nobody has seen yet
    io_loop_send(control__loop(broker->control), &broker->settings_mail);
}

bool broker__settings_take(struct broker *broker)
{
    struct meta_settings *fresh = atomic_exchange(&broker->settings_handed, NULL);
    if (!fresh)
        return false;
    size_t size = ((size_t)broker->settings_kept_count + 1) * sizeof(struct meta_settings *);
    broker->settings_kept = mem_realloc(broker->settings_kept, size);
    broker->settings_kept[broker->settings_kept_count++] = fresh;
    atomic_store_explicit(&broker->settings, fresh, memory_order_release);
    atomic_fetch_add(&broker->settings_turn, 1);
    return true;
}

/* ---- asking */
int64_t broker__setting_i64(const struct broker *broker, const struct meta_image *image, const char *name)
{
    return meta_broker_setting_i64(image, broker__settings(broker), broker->options.node_id, name);
}

double broker__setting_f64(const struct broker *broker, const struct meta_image *image, const char *name)
{
    return meta_broker_setting_f64(image, broker__settings(broker), broker->options.node_id, name);
}

uint64_t broker__settings_version(const struct broker *broker, const struct meta_image *image)
{
    return meta_broker_config_version(image, broker->options.node_id) + atomic_load(&broker->settings_turn);
}

uint64_t broker_settings_version(const struct reactor *reactor)
{
    return broker__settings_version(reactor->broker, reactor->image);
}

int64_t broker_setting_i64(const struct reactor *reactor, const char *name)
{
    return broker__setting_i64(reactor->broker, reactor->image, name);
}

int64_t broker_listener_setting_i64(const struct reactor *reactor, const char *listener, const char *name)
{
    return meta_listener_setting_i64(reactor->image, broker__settings(reactor->broker),
                                     reactor->broker->options.node_id, listener, name);
}

struct slice broker_setting_text(const struct reactor *reactor, const char *name)
{
    return meta_broker_setting(reactor->image, broker__settings(reactor->broker), reactor->broker->options.node_id,
                               name);
}
