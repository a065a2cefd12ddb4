// SPDX-License-Identifier: Apache-2.0
/* meta/validate.c - is this value allowed for that setting, in the words of Apache Kafka.
 *
 * A value is parsed by the type of its setting, then held against the setting's rule (ConfigDef and its validators). The
 * messages are part of the protocol: tools print them and scripts match them, so a test compares them with those of
 * Kafka's own classes (test/kafka/config-errors.txt). A message too long for its buffer is cut.
 */
#include "meta/meta__.h"

struct check {
    const struct meta_config_def *def;
    struct slice value; // as given; null
    struct slice trimmed;
    char *message;
};

static bool invalid(const struct check *check, const char *shown, const char *why)
{
    text__say(check->message, "Invalid value %s for configuration %s: %s", shown, check->def->name, why);
    return false;
}

static bool invalid_slice(const struct check *check, struct slice shown, const char *why)
{
    text__say(check->message, "Invalid value %.*s for configuration %s: %s",
              (int)min_i64((int64_t)shown.size, META_MESSAGE_SIZE), shown.data, check->def->name, why);
    return false;
}

/* Names and separators one after the other, cut at the size of a message. */
static void choices_text(const char *const *choices, char ret_text[META_MESSAGE_SIZE])
{
    size_t size = 0;
    ret_text[0] = 0;
    for (; *choices && size < META_MESSAGE_SIZE; choices++)
        size += (size_t)snprintf(ret_text + size, META_MESSAGE_SIZE - size, "%s%s", size > 0 ? ", " : "", *choices);
}

static bool is_choice(const struct meta_config_def *def, struct slice value)
{
    for (const char *const *choice = def->choices; *choice; choice++)
        if (strlen(*choice) == value.size &&
            (def->case_insensitive ? strncasecmp(*choice, (const char *)value.data, value.size)
                                   : memcmp(*choice, value.data, value.size)) == 0)
            return true;
    return false;
}

static bool check_choice(const struct check *check, struct slice value)
{
    if (!slice_is_null(value) && is_choice(check->def, value))
        return true;
    char choices[META_MESSAGE_SIZE], why[META_MESSAGE_SIZE];
    choices_text(check->def->choices, choices);
    text__say(why, "String must be one of%s: %s", check->def->case_insensitive ? " (case insensitive)" : "", choices);
    return slice_is_null(value) ? invalid(check, "null", why) : invalid_slice(check, value, why);
}

static void bound_text(double bound, char ret_text[META_DOUBLE_TEXT_SIZE])
{
    if (bound == (double)(int64_t)bound)
        snprintf(ret_text, META_DOUBLE_TEXT_SIZE, "%lld", (long long)bound);
    else
        text__from_f64(bound, ret_text);
}

/* `shown`: the parsed number as Java prints it; NULL for null. */
static bool check_range(const struct check *check, double number, const char *shown)
{
    const struct meta_config_def *def = check->def;
    if (def->rule != META_RULE_RANGE)
        return true;
    if (!shown)
        return invalid(check, "null", "Value must be non-null");
    bool is_low = number < def->min, is_high = def->has_max && number > def->max;
    if ((!is_low && !is_high) || (def->or_minus_one && number == -1))
        return true;
    char min[META_DOUBLE_TEXT_SIZE], max[META_DOUBLE_TEXT_SIZE], why[128];
    bound_text(def->min, min);
    bound_text(def->max, max);
    if (def->or_minus_one)
        snprintf(why, sizeof why, "Value must be between %s and %s or equal to -1", min, max);
    else
        snprintf(why, sizeof why, is_low ? "Value must be at least %s" : "Value must be no more than %s",
                 is_low ? min : max);
    return invalid(check, shown, why);
}

static bool check_integer(const struct check *check, int64_t min, int64_t max, const char *type)
{
    int64_t number = 0;
    if (slice_is_null(check->value))
        return check_range(check, 0, NULL);
    if (!text__parse_i64(check->trimmed, min, max, &number)) {
        char why[64];
        snprintf(why, sizeof why, "Not a number of type %s", type);
        return invalid_slice(check, check->value, why);
    }
    char shown[32];
    snprintf(shown, sizeof shown, "%lld", (long long)number);
    return check_range(check, (double)number, shown);
}

static bool check_double(const struct check *check)
{
    double number;
    if (slice_is_null(check->value))
        return check_range(check, 0, NULL);
    if (!text__parse_f64(check->trimmed, &number))
        return invalid_slice(check, check->value, "Not a number of type DOUBLE");
    char shown[META_DOUBLE_TEXT_SIZE];
    text__from_f64(number, shown);
    return check_range(check, number, shown);
}

static bool check_boolean(const struct check *check)
{
    if (slice_is_null(check->value))
        return true;
    struct slice text = check->trimmed;
    if ((text.size == 4 && strncasecmp((const char *)text.data, "true", 4) == 0) ||
        (text.size == 5 && strncasecmp((const char *)text.data, "false", 5) == 0))
        return true;
    return invalid_slice(check, check->value, "Expected value to be either true or false");
}

static bool is_offset_reset(struct slice text)
{
    static const char by_duration[] = "by_duration:";
    size_t prefix = sizeof by_duration - 1;
    return slice_equal_str(text, "latest") || slice_equal_str(text, "earliest") ||
           (text.size > prefix && memcmp(text.data, by_duration, prefix) == 0 &&
            text__is_duration(slice_of(text.data + prefix, text.size - prefix)));
}

/* AutoOffsetResetStrategy and the validator around it both name the value. */
static bool check_offset_reset(const struct check *check)
{
    bool is_null = slice_is_null(check->value);
    if (!is_null && is_offset_reset(check->trimmed))
        return true;
    struct slice shown = is_null ? slice_str("null") : check->trimmed;
    char why[META_MESSAGE_SIZE];
    snprintf(
        why, sizeof why,
        "Invalid value `%.*s` for configuration %s. The value must be either 'earliest', 'latest' or of the format "
        "'by_duration:<PnDTnHnMn.nS>'.",
        (int)min_i64((int64_t)shown.size, META_MESSAGE_SIZE / 2), shown.data, check->def->name);
    return invalid_slice(check, shown, why);
}

static bool check_string(const struct check *check)
{
    bool is_null = slice_is_null(check->value);
    switch (check->def->rule) {
    case META_RULE_ONE_OF:
        return check_choice(check, is_null ? SLICE_NULL : check->trimmed);
    case META_RULE_NON_NULL:
        return !is_null || invalid(check, "null", "entry must be non null");
    case META_RULE_NON_EMPTY:
        return is_null || check->trimmed.size > 0 || invalid(check, "", "String must be non-empty");
    case META_RULE_OFFSET_RESET:
        return check_offset_reset(check);
    default:
        return true;
    }
}

static bool list_fault(const struct check *check, const char *what)
{
    text__say(check->message, "Configuration '%s' %s", check->def->name, what);
    return false;
}

static bool has_duplicates(struct slice list)
{
    struct slice rest = list, element, later, other;
    while (text__next_element(&rest, &element))
        for (later = rest; text__next_element(&later, &other);)
            if (slice_equal(element, other))
                return true;
    return false;
}

static bool empty_list_fault(const struct check *check)
{
    char choices[META_MESSAGE_SIZE], what[META_MESSAGE_SIZE];
    if (!check->def->choices)
        return list_fault(check, "must not be empty. Valid values include: any non-empty value");
    choices_text(check->def->choices, choices);
    text__say(what, "must not be empty. Valid values include: [%s]", choices);
    return list_fault(check, what);
}

static bool check_elements(const struct check *check)
{
    struct slice rest = check->trimmed, element;
    while (text__next_element(&rest, &element)) {
        if (element.size == 0)
            return list_fault(check, "values must not be empty.");
        if (check->def->choices && !check_choice(check, element))
            return false;
    }
    return true;
}

static bool is_replica(struct slice element) // partition:broker
{
    const uint8_t *colon = element.size > 0 ? memchr(element.data, ':', element.size) : NULL;
    if (!colon || colon == element.data || colon + 1 == element.data + element.size)
        return false;
    for (const uint8_t *p = element.data; p < element.data + element.size; p++)
        if (p != colon && (*p < '0' || *p > '9'))
            return false;
    return true;
}

/* Pairs, among which Kafka suffers empty elements; or the star. */
static bool are_replicas(struct slice list)
{
    struct slice rest = list, element;
    while (!slice_equal_str(list, "*") && text__next_element(&rest, &element))
        if (element.size > 0 && !is_replica(element))
            return false;
    return true;
}

static bool check_replicas(const struct check *check)
{
    if (slice_is_null(check->value))
        return list_fault(check, "values must not be null.");
    if (are_replicas(check->trimmed))
        return true;
    char shown[META_MESSAGE_SIZE], why[META_MESSAGE_SIZE];
    size_t size = (size_t)snprintf(shown, sizeof shown, "[");
    struct slice rest = check->trimmed, element;
    while (size < sizeof shown && text__next_element(&rest, &element))
        size += (size_t)snprintf(shown + size, sizeof shown - size, "%s%.*s", size > 1 ? ", " : "",
                                 (int)min_i64((int64_t)element.size, META_MESSAGE_SIZE), element.data);
    if (size < sizeof shown)
        snprintf(shown + size, sizeof shown - size, "]");
    text__say(why,
              "%s must be the literal '*' or a list of replicas in the following format: "
              "[partitionId]:[brokerId],[partitionId]:[brokerId],...",
              check->def->name);
    return invalid(check, shown, why);
}

static bool check_list(const struct check *check)
{
    const struct meta_config_def *def = check->def;
    if (def->rule == META_RULE_REPLICAS)
        return check_replicas(check);
    if (def->rule != META_RULE_LIST)
        return true;
    if (slice_is_null(check->value))
        return def->may_be_null || list_fault(check, "values must not be null.");
    if (check->trimmed.size == 0)
        return def->may_be_empty || empty_list_fault(check);
    if (def->no_duplicates && has_duplicates(check->trimmed))
        return list_fault(check, "values must not be duplicated.");
    return check_elements(check);
}

bool meta_config_validate(const struct meta_config_def *def, struct slice value, char ret_message[META_MESSAGE_SIZE])
{
    struct check check = {.def = def, .value = value, .trimmed = text__trim(value), .message = ret_message};
    switch (def->type) {
    case META_TYPE_BOOLEAN:
        return check_boolean(&check);
    case META_TYPE_INT:
        return check_integer(&check, INT32_MIN, INT32_MAX, "INT");
    case META_TYPE_SHORT:
        return check_integer(&check, INT16_MIN, INT16_MAX, "SHORT");
    case META_TYPE_LONG:
        return check_integer(&check, INT64_MIN, INT64_MAX, "LONG");
    case META_TYPE_DOUBLE:
        return check_double(&check);
    case META_TYPE_LIST:
        return check_list(&check);
    case META_TYPE_STRING:
    case META_TYPE_CLASS:
    case META_TYPE_PASSWORD:
        return check_string(&check);
    }
    return true;
}

const struct meta_config_def *meta_config_find(const struct meta_config_table *table, struct slice name)
{
    int low = 0, high = table->count;
    while (low < high) {
        int middle = low + (high - low) / 2;
        int order = slice_compare(slice_str(table->defs[middle].name), name);
        if (order == 0)
            return &table->defs[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

enum meta_config_serving meta_config_treatment(const struct meta_config_def *def, struct slice value)
{
    struct slice given = text__trim(value);
    if (def->serving == META_SERVED || (def->default_value && slice_equal_str(given, def->default_value)))
        return META_SERVED;
    for (const char *const *accepted = def->accepted; accepted && *accepted; accepted++)
        if (slice_equal_str(given, *accepted))
            return META_SERVED;
    return def->serving;
}
