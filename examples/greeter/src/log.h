#pragma once

/* Writes one line on stderr. No time stamp: the journal adds it. */
void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Writes the line and ends the program with status 1. */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));
