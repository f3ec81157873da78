# The image of the manager: one binary, certificates, no shell.
#   docker build -t k0smotron:dev .
FROM rust:1.95-bookworm AS build
RUN apt-get update && apt-get install --yes --no-install-recommends cmake && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --release --locked --package manager

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /src/target/release/manager /manager
COPY LICENSE /licenses/LICENSE
USER 65532:65532
ENTRYPOINT ["/manager"]
