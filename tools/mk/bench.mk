# The benchmark and its peers.

PEERS   := build/floor build/threads build/lws_peer build/gorilla_peer

# A complete report regenerates docs/PERFORMANCE.md and its picture.
bench:
	$(Q)tools/deps bench
	$(Q)$(MAKE) --no-print-directory all load
	-$(Q)$(MAKE) --no-print-directory -k peers
	$(Q)bench/run.py $(ARGS)
	$(Q)$(if $(QUICK),,bench/report.py build/bench.json)
	-$(Q)$(if $(QUICK),,bench/page.py)

# The peers; those that cannot be built are skipped and named.
peers: $(PEERS)
build/floor build/threads: build/%: build/bench/peers/%.o build/bench/peers/peer_floor.o build/bench/peers/peer.o build/ws.o
build/lws_peer: build/bench/peers/lws_peer.o build/bench/peers/peer.o
build/lws_peer: EXTRA = -lwebsockets
build/floor build/threads build/lws_peer:
	@echo "  LD  $@"
	$(Q)$(CC) $(LDHARDEN) $(LDFLAGS) -o $@ $^ $(EXTRA) $(LDLIBS_ALL)
build/gorilla_peer: bench/peers/gorilla/main.go
	@echo "  GO  $@"
	$(Q)mkdir -p $(@D)
	$(Q)GO111MODULE=off GOFLAGS= GOPATH=/usr/share/gocode go build -o $@ ./$(<D)

# What sharing rooms costs; writes its table into docs/SCALING.md.
.PHONY: bench-cluster
bench-cluster: all load
	$(Q)bench/cluster.py $(ARGS)

# The history file alone, without a server.
MESSAGES ?= 1000000
.PHONY: bench-store
bench-store: build/bench_store
	$(Q)rm -f build/bench.db*
	$(Q)build/bench_store $(MESSAGES) build/bench.db
build/bench_store: build/bench/store.o $(OBJECTS)
	@echo "  LD  $@"
	$(Q)$(CC) $(LDHARDEN) $(LDFLAGS) -o $@ $^ $(LDLIBS_ALL)
