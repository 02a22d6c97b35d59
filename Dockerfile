# The image of diskferry, from vendored sources: the build itself needs no network.
#
#   packaging/vendor
#   docker build --tag diskferry .
#   docker run --rm --volume "$PWD:/images" --volume diskferry:/state diskferry upload /images/server.img oh:
#
# /state keeps the configuration, the journals and the drives of `local:`. Mount it, or nothing can be resumed.
FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo --config vendor/config.toml build --profile dist --locked --offline --bin diskferry

FROM debian:bookworm-slim
# The certificates of the authorities that https is checked with.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/target/dist/diskferry /usr/local/bin/diskferry
COPY LICENSE-MIT LICENSE-APACHE /usr/share/doc/diskferry/
ENV XDG_CONFIG_HOME=/state/config \
    XDG_STATE_HOME=/state/state \
    XDG_DATA_HOME=/state/data
RUN useradd --uid 1000 --create-home diskferry \
    && install --directory --owner=1000 --group=1000 --mode=0700 /state
USER 1000
VOLUME /state
ENTRYPOINT ["/usr/local/bin/diskferry"]
CMD ["--help"]
