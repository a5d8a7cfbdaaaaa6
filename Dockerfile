# Four images: the core (`--target longshore`), its filesystem driver (`--target longshore-driver-filesystem`), its S3
# driver (`--target longshore-driver-s3`) and its Swift driver (`--target longshore-driver-swift`).
# They are made of binaries that lie in target/release:
#     cargo build --release && docker build --target longshore --tag longshore .
# BASE must have a glibc at least as new as the one the binaries were built with.
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS common
LABEL org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0"
# Core 10001, driver 10002. The setgid directory gives the driver's socket the core's group; a new volume that is
# mounted there or at /var/lib/longshore takes over owner and mode.
RUN ["install", "-d", "-o", "10002", "-g", "10001", "-m", "2750", "/run/longshore"]
STOPSIGNAL SIGTERM

FROM common AS longshore-driver-filesystem
LABEL org.opencontainers.image.title="longshore-driver-filesystem" \
      org.opencontainers.image.description="The storage driver of Longshore that keeps objects as files"
RUN ["install", "-d", "-o", "10002", "-g", "10002", "-m", "0700", "/var/lib/longshore"]
COPY target/release/longshore-driver-filesystem /usr/bin/
USER 10002:10002
VOLUME ["/run/longshore", "/var/lib/longshore"]
ENTRYPOINT ["/usr/bin/longshore-driver-filesystem", "--endpoint", "unix:///run/longshore/main.sock", "--trust-uid", "10001"]
# init=never: a store is made by an operator, never by an image that came up over an empty directory.
CMD ["root=/var/lib/longshore", "init=never"]

# A server with a certificate is trusted by the base's ca-certificates, or by the setting ca_file.
FROM common AS longshore-driver-s3
LABEL org.opencontainers.image.title="longshore-driver-s3" \
      org.opencontainers.image.description="The storage driver of Longshore that keeps objects in a bucket"
# What was received and not sent yet lies here.
RUN ["install", "-d", "-o", "10002", "-g", "10002", "-m", "0700", "/var/spool/longshore"]
COPY target/release/longshore-driver-s3 /usr/bin/
USER 10002:10002
VOLUME ["/run/longshore", "/var/spool/longshore"]
ENTRYPOINT ["/usr/bin/longshore-driver-s3", "--endpoint", "unix:///run/longshore/main.sock", "--trust-uid", "10001"]

# As the one before it; who the driver is comes from the environment: OS_AUTH_URL and its like.
FROM common AS longshore-driver-swift
LABEL org.opencontainers.image.title="longshore-driver-swift" \
      org.opencontainers.image.description="The storage driver of Longshore that keeps objects in a container of Swift"
RUN ["install", "-d", "-o", "10002", "-g", "10002", "-m", "0700", "/var/spool/longshore"]
COPY target/release/longshore-driver-swift /usr/bin/
USER 10002:10002
VOLUME ["/run/longshore", "/var/spool/longshore"]
ENTRYPOINT ["/usr/bin/longshore-driver-swift", "--endpoint", "unix:///run/longshore/main.sock", "--trust-uid", "10001"]

FROM common AS longshore
LABEL org.opencontainers.image.title="longshore" \
      org.opencontainers.image.description="A container registry whose storage is a separate process"
COPY target/release/longshore /usr/bin/
COPY packaging/docker/longshore.toml /etc/longshore/longshore.toml
USER 10001:10001
VOLUME ["/run/longshore"]
EXPOSE 5000
# It needs the driver's answer, through the same socket and the same check of users as the core.
HEALTHCHECK --interval=10s --timeout=8s --start-period=5s --retries=3 \
  CMD ["/usr/bin/longshore", "driver", "probe", "--trust-uid", "10002", "unix:///run/longshore/main.sock"]
ENTRYPOINT ["/usr/bin/longshore"]
CMD ["serve", "--config", "/etc/longshore/longshore.toml"]
