#pragma once

/*
 * Tells systemd a state (`READY=1`, `STOPPING=1`) as sd_notify(3) does, without its library.
 * Does nothing outside a unit with `Type=notify`.
 */
void notify(const char *state);
