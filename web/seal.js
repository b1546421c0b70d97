// SPDX-License-Identifier: MIT
//
// seal.js - the layout of the plaintext: a head of 85 bytes, the text, and zeros up to a multiple
// of 64 bytes, so that the length of a text is visible in steps of 64 only. Pure.
//
// A stream is the messages from one session key to another. A place in it is {writer, reader, seq,
// bits}, with the hashes of the keys in hex. Bit i of `bits` is set if the message with Seq seq-1-i
// was opened too. Without a stream all fields are zero: NOWHERE.

import { hex, join, number, plainSize, unhex } from "./e2e.js";

const HEAD = 85;
const PAD = 64;
const NO_KEY = "0".repeat(16);

export const TEXT = 1;
export const RECEIPT = 2;
export const NOWHERE = Object.freeze({ writer: NO_KEY, reader: NO_KEY, seq: 0, bits: 0n });

export const isNowhere = ({ writer }) => writer === NO_KEY;

const paddedSize = (size) => Math.ceil((HEAD + size) / PAD) * PAD;

/** The bytes of text that fit into a ciphertext of this many hex digits. */
export const roomForText = (digits) =>
  Math.max(0, Math.floor(plainSize(digits) / PAD) * PAD - HEAD);

/** `previous` and `opened` are places, `id` 32 hex digits, `at` ms since 1970. */
export function pack({ kind, id, at, previous, opened, text }) {
  const bytes = new TextEncoder().encode(text);
  const padded = new Uint8Array(paddedSize(bytes.length));
  padded.set(join(
    number(kind, 1), unhex(id), number(at, 8),
    unhex(previous.writer), unhex(previous.reader), number(previous.seq, 8),
    unhex(opened.writer), unhex(opened.reader), number(opened.seq, 8), number(opened.bits, 8),
    number(bytes.length, 4), bytes,
  ));
  return padded;
}

/** The inverse of pack(); throws unless the packing is canonical for this Seq. */
export function unpack(bytes, Seq) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const size = view.getUint32(HEAD - 4);
  const rest = bytes.subarray(HEAD + size);
  if (bytes.length !== paddedSize(size) || rest.some((b) => b !== 0)) throw new Error("padding");
  const kind = bytes[0];
  if ((kind === RECEIPT) !== (Seq === 0) || (kind === RECEIPT && size)) throw new Error("kind");
  const key = (at) => hex(bytes.subarray(at, at + 8));
  const count = (at) => {
    const value = Number(view.getBigUint64(at));
    if (!Number.isSafeInteger(value)) throw new Error("number");
    return value;
  };
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }); // a BOM is text too
  return {
    kind,
    id: hex(bytes.subarray(1, 17)),
    at: count(17),
    previous: { writer: key(25), reader: key(33), seq: count(41) },
    opened: { writer: key(49), reader: key(57), seq: count(65), bits: view.getBigUint64(73) },
    text: decoder.decode(bytes.subarray(HEAD, HEAD + size)),
  };
}
