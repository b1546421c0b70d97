# SPDX-License-Identifier: MIT
#
# Two stages: one with the compiler, one with the programs and their libraries. Not as root; settings in
# /etc/ragnarok, what the first start makes in /var/lib/ragnarok (a volume, to keep it).
#
#   docker build -t ragnarok .
#   docker run -p 12345:12345 -v ragnarok:/var/lib/ragnarok -v ./config.json:/etc/ragnarok/config.json ragnarok
#
# In the settings server_ip must be "0.0.0.0": loopback is the container's own.

FROM debian:bookworm-slim AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev make pkg-config python3 \
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
