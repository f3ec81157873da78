# The image of the manager: one binary, certificates, no shell.
#   docker build -t k0smotron:dev .
FROM rust:1.95-bookworm AS build
# The image's own toolchain: that of rust-toolchain.toml would fetch rustfmt and clippy, which nothing here runs.
ENV RUSTUP_TOOLCHAIN=1.95.0
RUN apt-get update && apt-get install --yes --no-install-recommends cmake && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
ARG K0SMOTRON_COMMIT=unknown
RUN cargo build --release --locked --package manager

# Of the same Debian as the build, with the C library and libgcc that the binary is linked to, and a user 65532.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /src/target/release/manager /manager
COPY LICENSE /licenses/LICENSE
USER 65532:65532
ENTRYPOINT ["/manager"]
