// SPDX-License-Identifier: MIT
//
// QR codes (ISO/IEC 18004:2015; § and Annex refer to it): byte mode, error correction level M,
// versions 1 to 18 (up to 560 bytes). Pure.
//
// The page draws its codes itself, because the server must not: a safety number exposes a server
// that is a man in the middle, and an invitation may hold the room's password.

// For each version at level M: the error correction codewords of a block, and the blocks (§7.5.1,
// Table 9).
const EC_CODEWORDS = [10, 16, 26, 18, 24, 16, 18, 22, 22, 26, 30, 22, 22, 24, 24, 28, 28, 26];
const BLOCKS = [1, 1, 1, 2, 2, 4, 4, 4, 5, 5, 5, 8, 9, 9, 10, 10, 11, 13];
const LEVEL_M = 0b00; // §7.9.1, Table 12
const MODE_BYTE = 0b0100; // §7.4.1, Table 2
const PADS = [0xec, 0x11]; // §7.4.10

// Which modules are inverted, for row i and column j (§7.8.2, Table 10).
const MASKS = [
  (i, j) => (i + j) % 2 === 0,
  (i) => i % 2 === 0,
  (i, j) => j % 3 === 0,
  (i, j) => (i + j) % 3 === 0,
  (i, j) => ((i >> 1) + Math.floor(j / 3)) % 2 === 0,
  (i, j) => ((i * j) % 2) + ((i * j) % 3) === 0,
  (i, j) => (((i * j) % 2) + ((i * j) % 3)) % 2 === 0,
  (i, j) => (((i + j) % 2) + ((i * j) % 3)) % 2 === 0,
];

// ---- Codewords ----------------------------------------------------------------------------------

/** The product in GF(256) modulo x^8 + x^4 + x^3 + x^2 + 1 (§7.5.2). */
function multiply(a, b) {
  let product = 0;
  for (let bit = 7; bit >= 0; bit--) {
    product = (product << 1) ^ (product >> 7) * 0x11d ^ ((b >> bit) & 1) * a;
  }
  return product;
}

/** The coefficients of (x - 2^0)...(x - 2^(degree - 1)) below the highest (Annex A). */
function generator(degree) {
  const factors = new Array(degree).fill(0);
  factors[degree - 1] = 1;
  for (let n = 0, root = 1; n < degree; n++, root = multiply(root, 2)) {
    factors.forEach((factor, i) => (factors[i] = multiply(factor, root) ^ (factors[i + 1] ?? 0)));
  }
  return factors;
}

function errorCorrection(data, factors) {
  const rest = factors.map(() => 0);
  for (const byte of data) {
    const lead = byte ^ rest.shift();
    rest.push(0);
    factors.forEach((factor, i) => (rest[i] ^= multiply(factor, lead)));
  }
  return rest;
}

/** The modules that no function pattern takes, in whole codewords. */
function codewordsOf(version) {
  const aligned = version > 1 ? Math.floor(version / 7) + 2 : 0;
  const patterns = aligned && (25 * aligned - 10) * aligned - 55;
  return (16 * version * version + 128 * version + 64 - patterns - (version > 6 ? 36 : 0)) >> 3;
}

const capacity = (version) => codewordsOf(version) - EC_CODEWORDS[version - 1] * BLOCKS[version - 1];

/** The data codewords: mode, length, text, terminator and padding (§7.4). */
function dataCodewords(bytes, version) {
  const long = version > 9; // then the length has 16 bits
  const head = MODE_BYTE * (long ? 65536 : 256) + bytes.length;
  const nibbles = [];
  for (let shift = long ? 16 : 8; shift >= 0; shift -= 4) nibbles.push((head >> shift) & 15);
  for (const byte of bytes) nibbles.push(byte >> 4, byte & 15);
  nibbles.push(0);
  const words = [];
  for (let n = 0; n < nibbles.length; n += 2) words.push(nibbles[n] * 16 + nibbles[n + 1]);
  for (let n = 0; words.length < capacity(version); n++) words.push(PADS[n % 2]);
  return words;
}

/** All codewords in their order: the first of each block, the second of each, ... (§7.6). */
function interleave(data, version) {
  const count = BLOCKS[version - 1];
  const factors = generator(EC_CODEWORDS[version - 1]);
  const short = Math.floor(data.length / count);
  const shorts = count - (data.length % count);
  const blocks = Array.from({ length: count }, (_, n) => {
    const start = n * short + Math.max(0, n - shorts);
    return data.slice(start, start + short + (n < shorts ? 0 : 1));
  });
  const corrections = blocks.map((block) => errorCorrection(block, factors));
  const column = (rows, n) => rows.flatMap((row) => row.slice(n, n + 1));
  const columns = (rows, length) => Array.from({ length }, (_, n) => column(rows, n)).flat();
  return [...columns(blocks, short + 1), ...columns(corrections, factors.length)];
}

// ---- Modules ------------------------------------------------------------------------------------

/** `value` followed by the remainder of its division by `divisor`: a BCH code (Annexes C, D). */
function withRemainder(value, divisor) {
  const length = 31 - Math.clz32(divisor);
  let rest = value << length;
  for (let bit = 31 - Math.clz32(rest || 1); bit >= length; bit--) {
    if ((rest >> bit) & 1) rest ^= divisor << (bit - length);
  }
  return (value << length) | rest;
}

/** The rows and columns of the centres of alignment patterns (Annex E). */
function alignments(version) {
  if (version === 1) return [];
  const count = Math.floor(version / 7) + 2;
  const step = Math.ceil((4 * version + 4) / (2 * count - 2)) * 2;
  return [6, ...Array.from({ length: count - 1 }, (_, n) => 4 * version + 10 - n * step).reverse()];
}

/** The function patterns (§6.3), and the version (§7.10), on rows of null. */
function drawPatterns(rows, version) {
  const size = rows.length;
  const square = (x, y, radius, lightRings) => {
    for (let n = 0; n < (2 * radius + 1) ** 2; n++) {
      const [dx, dy] = [(n % (2 * radius + 1)) - radius, Math.floor(n / (2 * radius + 1)) - radius];
      const ring = Math.max(Math.abs(dx), Math.abs(dy));
      if (rows[y + dy]?.[x + dx] !== undefined) rows[y + dy][x + dx] = !lightRings.includes(ring);
    }
  };
  for (let n = 0; n < size; n++) rows[6][n] = rows[n][6] = n % 2 === 0;
  for (const [x, y] of [[3, 3], [size - 4, 3], [3, size - 4]]) square(x, y, 4, [2, 4]);
  const centres = alignments(version);
  const isFinder = (x, y) => Math.min(x, y) === 6 && (x + y === 12 || x + y === size - 1);
  for (const y of centres) for (const x of centres) if (!isFinder(x, y)) square(x, y, 2, [1]);
  const bits = version > 6 ? withRemainder(version, 0x1f25) : 0;
  for (let n = 0; bits && n < 18; n++) {
    const [near, far] = [Math.floor(n / 3), size - 11 + (n % 3)];
    rows[near][far] = rows[far][near] = ((bits >> n) & 1) === 1;
  }
}

/** The level and the mask, twice, and the one module that is always dark (§7.9). */
function drawFormat(rows, mask) {
  const size = rows.length;
  const bits = withRemainder(LEVEL_M * 8 + mask, 0x537) ^ 0x5412;
  for (let n = 0; n < 15; n++) {
    const dark = ((bits >> n) & 1) === 1;
    if (n < 8) rows[n < 6 ? n : n + 1][8] = rows[8][size - 1 - n] = dark;
    else rows[8][n === 8 ? 7 : 14 - n] = rows[size - 15 + n][8] = dark;
  }
  rows[size - 8][8] = true;
}

/** The data modules in order: up and down in pairs of columns, from the right (§7.7.3). */
function dataPlaces(rows) {
  const size = rows.length;
  const places = [];
  for (let right = size - 1, up = true; right > 0; right -= 2, up = !up) {
    if (right === 6) right = 5; // this column is the timing pattern
    for (let n = 0; n < 2 * size; n++) {
      const [i, j] = [up ? size - 1 - (n >> 1) : n >> 1, right - (n % 2)];
      if (rows[i][j] === null) places.push([i, j]);
    }
  }
  return places;
}

/** The penalty score: runs, blocks, finder-like patterns, imbalance (§7.8.3, Table 11). */
function penalty(rows) {
  const columns = rows.map((_, n) => rows.map((row) => row[n]));
  let sum = 0;
  for (const line of [...rows, ...columns]) {
    const bits = line.map(Number).join("");
    for (const [run] of bits.matchAll(/0{5,}|1{5,}/g)) sum += run.length - 2;
    sum += 40 * [...`0000${bits}0000`.matchAll(/(?=00001011101|10111010000)/g)].length;
  }
  const isBlock = (i, j) => [rows[i][j + 1], rows[i + 1][j], rows[i + 1][j + 1]].every((m) => m === rows[i][j]);
  for (let i = 1; i < rows.length; i++) {
    for (let j = 1; j < rows.length; j++) if (isBlock(i - 1, j - 1)) sum += 3;
  }
  const dark = rows.flat().filter(Boolean).length / rows.length ** 2;
  return sum + 10 * Math.floor(Math.abs(dark - 0.5) * 20);
}

/** The rows of modules, true for dark. Tests pass a `mask`; the default is the best one. */
export function modules(bytes, version, mask) {
  const size = 4 * version + 17;
  const rows = Array.from({ length: size }, () => new Array(size).fill(null));
  drawPatterns(rows, version);
  drawFormat(rows, 0);
  const words = interleave(dataCodewords(bytes, version), version);
  const places = dataPlaces(rows);
  const masked = (number) => {
    const made = rows.map((row) => [...row]);
    drawFormat(made, number);
    places.forEach(([i, j], n) => (made[i][j] = ((words[n >> 3] >> (7 - (n % 8))) & 1) === 1 !== MASKS[number](i, j)));
    return made;
  };
  if (mask !== undefined) return masked(mask);
  const all = MASKS.map((_, number) => masked(number));
  const marks = all.map(penalty);
  return all[marks.indexOf(Math.min(...marks))];
}

/** The smallest version that holds this many bytes, or 0. */
export function versionFor(length) {
  const fits = (version) => length + (version > 9 ? 3 : 2) <= capacity(version);
  return BLOCKS.findIndex((_, n) => fits(n + 1)) + 1;
}

/**
 * { size, path }: the modules per side, and the dark ones as SVG path data, one unit wide each,
 * without the quiet zone. Null for a text of more than 560 bytes.
 */
export function qrCode(text) {
  const bytes = new TextEncoder().encode(text);
  const version = versionFor(bytes.length);
  if (!version) return null;
  const rows = modules(bytes, version);
  const runs = rows.map((row, y) => [...row.map((dark) => (dark ? "#" : " ")).join("").matchAll(/#+/g)]
    .map(({ index, 0: { length } }) => `M${index} ${y}h${length}v1h-${length}z`));
  return { size: rows.length, path: runs.flat().join("") };
}
