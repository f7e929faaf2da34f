# One image for every service: `artel serve NAME`. Built by `docker compose build`.

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --release --bin artel && cp target/release/artel /artel

FROM debian:bookworm-slim
# curl asks the gRPC health service (system/health.sh); the certificates are for systems outside the mesh.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates curl \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home artel \
    && install --directory --owner=10001 /var/lib/artel
COPY --from=build /artel /usr/local/bin/artel
COPY --chmod=755 system/health.sh /usr/local/bin/artel-health
COPY system/demo /usr/share/artel/demo
USER 10001
WORKDIR /var/lib/artel
ENV ARTEL_CONFIG=/run/secrets/artel.toml
ENTRYPOINT ["artel"]
