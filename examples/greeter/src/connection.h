#pragma once

#include "server.h"

/* Takes over an accepted descriptor. The connection frees itself when it ends. */
void connection_open(struct server *server, int descriptor);

/* Tells all connections that the server drains: idle ones end after a short while, others when answered. */
void connections_drain(struct server *server);

/* Ends all connections now. Returns how many had an open request. */
long connections_cut(struct server *server);
