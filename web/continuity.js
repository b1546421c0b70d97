// SPDX-License-Identifier: MIT
//
// continuity.js - tracks the messages between us and one identity key across all session keys, and
// detects dropped, duplicated and reordered ones. seal.js explains streams and places. Pure. The
// state belongs to the key, not to a name.

import { isNowhere, NOWHERE } from "./seal.js";

const STREAMS_MAX = 64; // remembered per direction; the oldest is forgotten
const IDS_MAX = 1024; // ids of shown messages; the oldest is forgotten
const PEERS_MAX = 2048; // identity keys; see Peers
const SAVED_PEERS = 64; // peers that save() returns, the last used ones
const SAVED_IDS = 256; // ids of shown messages of each of them, the newest
const SPAN = 64; // messages before the newest one that a confirmation covers

const keyOf = ({ writer, reader }) => `${writer} ${reader}`;

/** Puts it at the end of the map and evicts the first entries beyond `most`; true if it evicted. */
export function putLast(map, key, value, most) {
  map.delete(key);
  map.set(key, value);
  const isFull = map.size > most;
  while (map.size > most) map.delete(map.keys().next().value);
  return isFull;
}

/** The state of message `seq` in a confirmation: "opened", "missing", or "" if not covered. */
function fateOf(seq, { seq: newest, bits }) {
  const back = newest - 1 - seq;
  if (back === -1) return "opened";
  if (back < 0 || back >= SPAN) return "";
  return (bits >> BigInt(back)) & 1n ? "opened" : "missing";
}

/** Advances a stream that we read to this Seq, which is greater than the last one. */
export function advance(stream, seq) {
  const step = seq - stream.seq;
  const before = step > SPAN ? 0n : (stream.bits << BigInt(step)) | (1n << BigInt(step - 1));
  stream.bits = stream.seq ? BigInt.asUintN(SPAN, before) : 0n;
  stream.seq = seq;
}

/** How many messages are missing in a stream that we read; each is reported once. */
function missingUpTo(stream, seq) {
  const known = Math.max(stream.seq, stream.told);
  stream.told = Math.max(known, seq);
  return Math.max(0, seq - known);
}

export class Peer {
  owed = null; // the stream that we read and have not confirmed yet
  card = null; // the newest card that came with a message, with its name
  stop = null; // cancels the pending receipt
  #reading = new Map(); // key -> {writer, reader, seq, bits, told}, by last read
  #writing = new Map(); // key -> {writer, reader, seq, done, previous, texts}, by start
  #hasForgotten = false; // whether a stream that we read was evicted
  #ids = new Set(); // ids of shown messages

  /** Whether we have read any message of theirs. */
  get hasRead() {
    return this.#reading.size > 0;
  }

  /**
   * Whether losing this object would lose more than a confirmation: a text that may still be sent
   * again, or the count of a stream of a session key in use. `live`: the hashes of those keys.
   */
  isNeeded(live) {
    const isOpen = ({ writer, texts }) =>
      live.has(writer) || [...texts.values()].some((text) => text.isOpen);
    return [...this.#writing.values()].some(isOpen) ||
      [...this.#reading.values()].some(({ reader }) => live.has(reader));
  }

  /** As JSON has it, for restore(); `idOf` gives the id of a text of ours. */
  save(idOf) {
    const reading = [...this.#reading.values()].map(({ writer, reader, seq, bits, told }) =>
      ({ writer, reader, seq, bits: bits.toString(16), told }));
    const writing = [...this.#writing.values()].map(({ texts, previous, ...stream }) => ({
      ...stream, previous: { ...previous, bits: undefined },
      texts: [...texts].map(([seq, text]) => [seq, idOf(text)]),
    }));
    return { reading, writing, ids: [...this.#ids].slice(-SAVED_IDS), hasForgotten: this.#hasForgotten };
  }

  /** Continues from what save() returned; `textOf` gives the text of an id, or undefined. */
  restore({ reading, writing, ids, hasForgotten }, textOf) {
    for (const { bits, ...stream } of reading) {
      this.#reading.set(keyOf(stream), { ...stream, bits: BigInt(`0x${bits}`) });
    }
    for (const { texts, ...stream } of writing) {
      const open = texts.map(([seq, id]) => [seq, textOf(id)]).filter(([, text]) => text);
      this.#writing.set(keyOf(stream), { ...stream, texts: new Map(open) });
    }
    this.#ids = new Set(ids);
    this.#hasForgotten = hasForgotten;
  }

  /** The stream that we wrote from one session key to another, if it is remembered. */
  written(place) {
    return this.#writing.get(keyOf(place));
  }

  // ---- Reading ----

  /** Our position in the stream that we read last. */
  get place() {
    const last = [...this.#reading.values()].findLast(({ seq }) => seq);
    if (!last) return NOWHERE;
    const { writer, reader, seq, bits } = last;
    return { writer, reader, seq, bits };
  }

  /**
   * Message `seq` of a stream was opened; `previous` is where the stream before it ended. Returns
   * how many messages are missing. `hadKey` tells whether a hash is of a session key of ours.
   */
  read(stream, seq, previous, hadKey) {
    const isFirst = stream.seq === 0;
    if (isFirst) stream.told = this.#reading.get(keyOf(stream))?.told ?? 0;
    const before = missingUpTo(stream, seq - 1);
    advance(stream, seq);
    if (putLast(this.#reading, keyOf(stream), stream, STREAMS_MAX)) this.#hasForgotten = true;
    const isOther = !isNowhere(previous) && keyOf(previous) !== keyOf(stream);
    return before + (isFirst && isOther ? this.#missingIn(previous, hadKey) : 0);
  }

  #missingIn(previous, hadKey) {
    const { writer, reader, seq } = previous;
    let stream = this.#reading.get(keyOf(previous));
    if (!stream) {
      if (this.#hasForgotten || !hadKey(reader)) return 0; // it may have been read
      stream = { writer, reader, seq: 0, bits: 0n, told: 0 };
      this.#reading = new Map([[keyOf(previous), stream], ...this.#reading]); // not read last
    }
    return missingUpTo(stream, seq);
  }

  /** Whether a message with this id was shown before; records it. */
  hasShown(id) {
    if (this.#ids.has(id)) return true;
    this.#ids.add(id);
    if (this.#ids.size > IDS_MAX) this.#ids.delete(this.#ids.values().next().value);
    return false;
  }

  // ---- Writing ----

  /** The stream from one session key to another, by their hashes; created if new. */
  writing(writer, reader) {
    const key = keyOf({ writer, reader });
    const known = this.#writing.get(key);
    if (known) return known;
    const begun = { seq: 0, done: 0, previous: this.#previous(), texts: new Map() };
    const stream = { writer, reader, ...begun };
    putLast(this.#writing, key, stream, STREAMS_MAX);
    return stream;
  }

  /** For a new stream: the end of the last one with a message that is not sent again. */
  #previous() {
    const streams = [...this.#writing.values()];
    const last = streams.findLast(({ done }) => done);
    if (last) return { writer: last.writer, reader: last.reader, seq: last.done };
    return streams.at(-1)?.previous ?? NOWHERE;
  }

  /** The other side's reading position: returns the texts that it has and those that it misses. */
  confirm(place) {
    const found = { opened: [], missing: [] };
    const stream = this.#writing.get(keyOf(place));
    for (const [seq, text] of stream?.texts ?? []) {
      const fate = fateOf(seq, place);
      if (fate) found[fate].push({ text, stream, seq });
    }
    return found;
  }
}

/** A message in a stream that we write will not be sent again. */
export function finish({ stream, seq }) {
  stream.done = Math.max(stream.done, seq);
}

/**
 * The peers by identity key. A new peer evicts the least recently used one that is not needed; if
 * all are needed, it is refused.
 */
export class Peers {
  #all = new Map(); // identity key -> Peer, by last use
  #live;
  #forgot;

  /** live() returns the hashes of our session keys in use; forgot() is called when a count is lost.
   *  */
  constructor(live, forgot) {
    [this.#live, this.#forgot] = [live, forgot];
  }

  find(key) {
    return this.#all.get(key);
  }

  /** The peer of this key, created if new; null if there is no space. */
  obtain(key) {
    const known = this.#all.get(key);
    if (!known && this.#all.size >= PEERS_MAX && !this.#makeRoom()) return null;
    const peer = known ?? new Peer();
    putLast(this.#all, key, peer, PEERS_MAX);
    return peer;
  }

  #makeRoom() {
    const live = this.#live();
    const free = [...this.#all].filter(([, peer]) => !peer.isNeeded(live));
    const [key, peer] = free.find(([, { owed }]) => !owed) ?? free[0] ?? [];
    if (!peer) return false;
    peer.stop?.();
    if (peer.hasRead) this.#forgot();
    return this.#all.delete(key);
  }

  values() {
    return this.#all.values();
  }

  /** The peers used last as JSON has them, and whether these are all that have written. */
  save(idOf) {
    const all = [...this.#all];
    const isWhole = all.slice(0, -SAVED_PEERS).every(([, peer]) => !peer.hasRead);
    return { peers: all.slice(-SAVED_PEERS).map(([key, peer]) => [key, peer.save(idOf)]), isWhole };
  }

  restore(peers, textOf) {
    for (const [key, saved] of peers) this.obtain(key)?.restore(saved, textOf);
  }

  clear() {
    for (const peer of this.#all.values()) peer.stop?.();
    this.#all.clear();
  }
}
