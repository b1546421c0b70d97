# SPDX-License-Identifier: MIT
#
# Two stages: one with the compiler, one with the programs and their libraries. Not as root; settings in
# /etc/ragnarok, what the first start makes in /var/lib/ragnarok (a volume, to keep it).
#
#   docker build -t ragnarok .
#   docker run --rm --entrypoint cat ragnarok /etc/ragnarok/config.json >room.json     # and set a password
#   docker run -p 12345:12345 --hostname "$(hostname)" -v ragnarok:/var/lib/ragnarok \
#       -v ./room.json:/etc/ragnarok/config.json ragnarok
#
# contrib/docker/compose.yaml does the same for docker compose.
#
# The settings differ from the sample: server_ip is "0.0.0.0", for loopback is the container's own, and
# the certificate is in the volume. It names the machine (--hostname), not the addresses outside of the
# container; with --network host in place of -p it names these, too. Set a password of your own: which ports
# are forwarded cannot be seen from inside, so the sample is refused with --network host only.

FROM debian:bookworm-slim AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev make pkg-config python3-minimal \
        libssl-dev libcjson-dev libutf8proc-dev libqrencode-dev libseccomp-dev libsqlite3-dev libhiredis-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN make all && make install DESTDIR=/image PREFIX=/usr \
    && sed -i 's|127\.0\.0\.1|0.0.0.0|' /image/etc/ragnarok/config.json \
    && chmod 0644 /image/etc/ragnarok/config.json

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends curl libssl3 libcjson1 libutf8proc2 libqrencode4 libseccomp2 libsqlite3-0 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --no-create-home --shell /usr/sbin/nologin ragnarok \
    && install -d -o ragnarok -g ragnarok -m 0700 /var/lib/ragnarok
COPY --from=build /image/ /
USER ragnarok
WORKDIR /var/lib/ragnarok
VOLUME /var/lib/ragnarok
EXPOSE 12345
STOPSIGNAL SIGTERM
# With TLS, or plain where SSL is false. The certificate is not checked: the question is whether it answers.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD \
    curl -kfsS -o /dev/null https://127.0.0.1:12345/healthz || curl -fsS -o /dev/null http://127.0.0.1:12345/healthz
ENTRYPOINT ["/usr/bin/ragnarok"]
CMD ["--config", "/etc/ragnarok/config.json"]
