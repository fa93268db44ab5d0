# The command verdigris, which runs a worker unless it is told otherwise. Debian, because the Temporal SDK's native part needs glibc.
FROM node:20-bookworm-slim AS build
WORKDIR /verdigris
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY . .
RUN node scripts/build.mjs && npm prune --omit=dev

FROM node:20-bookworm-slim
# The native part verifies Temporal's certificate with the system's authorities, of which this image has none.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/*
RUN groupadd --gid 10001 verdigris \
 && useradd --uid 10001 --gid verdigris --home-dir /var/cache/verdigris --shell /usr/sbin/nologin verdigris \
 && install --directory --owner verdigris --group verdigris --mode 0700 /var/cache/verdigris
WORKDIR /verdigris
COPY --from=build /verdigris/package.json ./
COPY --from=build /verdigris/node_modules node_modules
COPY --from=build /verdigris/dist dist
RUN chmod 755 dist/client/main.js && ln -s /verdigris/dist/client/main.js /usr/local/bin/verdigris
ENV NODE_ENV=production NODE_OPTIONS=--enable-source-maps XDG_CACHE_HOME=/var/cache
USER 10001:10001
ENTRYPOINT ["verdigris"]
CMD ["worker", "--config", "/etc/verdigris/worker.yaml"]
