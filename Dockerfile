# rlab in a container: built like everywhere by `make`, then the program alone, with the libraries that it runs on, as a user of
# no rights. The servers are containers of their own (docker-compose.yml).
FROM debian:bookworm-20251229-slim AS build
WORKDIR /src
COPY . .
# make and git are what deps/packages.sh takes for granted
RUN apt-get update && apt-get install -y --no-install-recommends make git && deps/packages.sh build && \
    make -j"$(nproc)" && make install DESTDIR=/out PREFIX=/usr && strip /out/usr/bin/rlab

FROM debian:bookworm-20251229-slim
RUN apt-get update && apt-get install -y --no-install-recommends liblua5.4-0 libuv1 libmicrohttpd12 libcjson1 libcurl4 \
      libavro23 libmariadb3 libedit2 libssl3 zlib1g libzstd1 libutf8proc2 ca-certificates && rm -rf /var/lib/apt/lists/* && \
    useradd --system --uid 10001 --home-dir /nonexistent --shell /usr/sbin/nologin rlab
COPY --from=build /out/usr/bin/rlab /usr/bin/rlab
COPY deploy/rlab/healthy.sh /usr/bin/healthy.sh
USER 10001
ENV RLAB_HOST=0.0.0.0 RLAB_PORT=18080
EXPOSE 18080
HEALTHCHECK --interval=5s --timeout=5s --retries=12 CMD ["healthy.sh"]
ENTRYPOINT ["rlab"]
CMD ["service", "command"]
