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
# The settings differ from the sample: server_ip is "0.0.0.0", for loopback is the container's own, and
# the certificate is in the volume. It names the machine (--hostname), not the addresses outside of the
# container; with --network host in place of -p it names these, too.

FROM debian:bookworm-slim AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev make pkg-config \
        libssl-dev libcjson-dev libutf8proc-dev libqrencode-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN make all && make install DESTDIR=/image PREFIX=/usr \
    && sed -i 's|127\.0\.0\.1|0.0.0.0|' /image/etc/ragnarok/config.json \
    && chmod 0644 /image/etc/ragnarok/config.json

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends libssl3 libcjson1 libutf8proc2 libqrencode4 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --no-create-home --shell /usr/sbin/nologin ragnarok \
    && install -d -o ragnarok -g ragnarok -m 0700 /var/lib/ragnarok
COPY --from=build /image/ /
USER ragnarok
WORKDIR /var/lib/ragnarok
VOLUME /var/lib/ragnarok
EXPOSE 12345
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/ragnarok"]
CMD ["--config", "/etc/ragnarok/config.json"]
