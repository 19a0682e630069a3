# Two images: the emulator, and the programs of its tutorial (a device and the service command
# line). Each holds its programs and nothing else.
#
#   docker build -t iothub-emulator --target emulator .        builds, too: wants the internet
#   docker build -t iothub-emulator --target local-emulator .  copies what docker/build has built
#
# and the same with iothub-emulator-tools, `tools` and `local-tools`. Other architectures:
# --platform linux/arm64.

FROM scratch AS emulator-base
# Where the certificates are; mount a volume here to keep them, and to let others trust them.
ENV IOTHUB_EMULATOR_STATE_DIR=/state \
    IOTHUB_EMULATOR_BIND=0.0.0.0 \
    IOTHUB_EMULATOR_ADMIN_BIND=0.0.0.0
EXPOSE 8883 5671 443 8088
HEALTHCHECK --interval=2s --timeout=10s --start-period=60s --retries=5 CMD ["/iothub-emulator", "health"]
ENTRYPOINT ["/iothub-emulator"]
CMD ["run"]

FROM scratch AS tools-base
ENV IOTHUB_EMULATOR_STATE_DIR=/state

FROM emulator-base AS local-emulator
COPY --chown=10001:10001 docker/dist/emulator/ /
USER 10001:10001

FROM tools-base AS local-tools
COPY docker/dist/tools/ /
USER 10001:10001

FROM rust:1.95-bookworm AS build
WORKDIR /source
COPY . .
RUN docker/build

FROM tools-base AS tools
COPY --from=build /source/docker/dist/tools/ /
USER 10001:10001

FROM emulator-base AS emulator
COPY --from=build --chown=10001:10001 /source/docker/dist/emulator/ /
USER 10001:10001
