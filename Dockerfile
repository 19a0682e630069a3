# The emulator, a simulated device and the service command line, on nothing else.
#
#   docker build -t iothub-emulator .                    builds the programs, too: wants the internet
#   docker build -t iothub-emulator --target local .     copies what docker/build put into docker/dist
#
# Other architectures: docker build --platform linux/arm64 …

FROM scratch AS base
# Where the certificates are; mount a volume here to keep them, and to let others trust them.
ENV IOTHUB_EMULATOR_STATE_DIR=/state \
    IOTHUB_EMULATOR_BIND=0.0.0.0 \
    IOTHUB_EMULATOR_ADMIN_BIND=0.0.0.0
EXPOSE 8883 5671 443 8088
HEALTHCHECK --interval=2s --timeout=3s --start-period=10s --retries=5 CMD ["/iothub-emulator", "health"]
ENTRYPOINT ["/iothub-emulator"]
CMD ["run"]

FROM base AS local
COPY --chown=10001:10001 docker/dist/ /
USER 10001:10001

FROM rust:1.95-bookworm AS build
WORKDIR /source
COPY . .
RUN docker/build

FROM base AS emulator
COPY --from=build --chown=10001:10001 /source/docker/dist/ /
USER 10001:10001
