# Two images from one file:
#   docker build --target kakehi -t kakehi .
#   docker build --target sozu -t kakehi-sozu .
# Both run as a numbered user without a shell, on a read-only root, without capabilities.
ARG RUST=1.93.1
ARG SOZU=2.3.3

FROM rust:${RUST}-slim-bookworm AS tools
RUN apt-get update && apt-get install -y --no-install-recommends protobuf-compiler pkg-config make gcc && rm -rf /var/lib/apt/lists/*

FROM tools AS build
WORKDIR /src
# What `kakehi --version` says: --build-arg COMMIT=$(git rev-parse --short=12 HEAD)
ARG COMMIT
ENV KAKEHI_COMMIT=${COMMIT:-unknown}
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --profile image --locked --bin kakehi && install -s target/image/kakehi /kakehi

FROM tools AS build-sozu
ARG SOZU
ENV CARGO_PROFILE_RELEASE_LTO=fat CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    cargo install sozu --version "=${SOZU}" --locked --root /sozu

FROM gcr.io/distroless/cc-debian12:nonroot AS kakehi
COPY --from=build /kakehi /usr/local/bin/kakehi
COPY LICENSE NOTICE /usr/share/doc/kakehi/
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/kakehi"]

# Sōzu under our launcher. Sōzu is AGPL-3.0, unmodified, from crates.io: https://github.com/sozu-proxy/sozu
FROM gcr.io/distroless/cc-debian12:nonroot AS sozu
COPY --from=build /kakehi /usr/local/bin/kakehi
COPY --from=build-sozu /sozu/bin/sozu /usr/local/bin/sozu
COPY LICENSE NOTICE /usr/share/doc/kakehi/
ENV KAKEHI_SOZU=/usr/local/bin/sozu
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/kakehi"]
