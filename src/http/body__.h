// SPDX-License-Identifier: Apache-2.0
/* http/body__.h - what the API's files share that reads JSON bodies or writes settings. */
#pragma once

#include "http/http__.h"

#include <jansson.h>

json_t *body__object(struct exchange *e); // NULL: answered; json_decref
bool body__confirms(struct exchange *e, const json_t *body, struct slice name);
void answer__ok(struct exchange *e);
/* "configs": [...] of a resource; false when the broker does not tell. */
bool configs__write(struct exchange *e, struct json *j, int8_t type, struct slice name);
