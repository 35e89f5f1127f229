# The image of `centrex`, from this repository alone: docker build -t centrex .
#
# Linked with glibc, on a base of the same Debian that the tests run on: names are resolved as tests
# saw it, and aws-lc needs no cross compiler, as it would for musl, and no cmake. Nothing but the program,
# its libraries and CA certificates is in the image, and no shell.

FROM rust:1.95-bookworm AS build
WORKDIR /centrex
COPY Cargo.toml Cargo.lock ./
COPY src src
COPY migrations migrations
COPY templates templates
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/centrex/target \
    cargo build --release --locked --bin centrex \
    && strip --strip-debug -o /usr/local/bin/centrex target/release/centrex

FROM gcr.io/distroless/cc-debian12:nonroot
LABEL org.opencontainers.image.title="centrex" \
      org.opencontainers.image.description="A Kubernetes operator for multi-tenant FreeSWITCH phone systems" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0"
COPY --from=build /usr/local/bin/centrex /usr/local/bin/centrex
COPY LICENSE /usr/share/doc/centrex/LICENSE
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/centrex"]
