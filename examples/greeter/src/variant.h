#pragma once

#include "request.h"
#include "routes.h"

/*
 * A build may be given one fault on purpose (`-DGREETER_VARIANT=`), so that a deployment has something to
 * catch. The service asks at these three points and knows no fault by name; `none` changes nothing.
 */
void variant_at_start(void);
void variant_change_answer(const struct request *request, struct answer *answer);
bool variant_ignores_sigterm(void);
