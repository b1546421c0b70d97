// SPDX-License-Identifier: MIT
//
// device_store.js - records kept on this device in IndexedDB: private conversations and, if the
// user wishes, name and password. Each record is encrypted with AES-GCM; its key is derived from a
// key of the keystore that scripts cannot read and from a secret. The secret of "this session" is
// in sessionStorage, so that after the tab is closed nobody can read the record, here neither.
//
// Bounds: a record is deleted when its time is over, at the next start of the page; above KEPT_MOST
// bytes records go, those of a low rank first, and of one rank those used least recently. A tab counts the records that it knows of.

const NAME = "ragnarok-kept";
const STORE = "records";
const BASE = "kept"; // the slot of the keystore
const IV_BYTES = 12;
const OVERHEAD = 256; // bytes counted for a record beside its content
export const KEPT_MOST = 8 << 20; // bytes of all records

const utf8 = (text) => new TextEncoder().encode(text);
const { subtle } = globalThis.crypto ?? {};

async function newBase() {
  const bytes = crypto.getRandomValues(new Uint8Array(32));
  return subtle.importKey("raw", bytes, "HKDF", false, ["deriveKey"]);
}

function deriveKey(base, secret) {
  const how = { name: "HKDF", hash: "SHA-256", salt: utf8(secret), info: utf8("ragnarok kept records") };
  return subtle.deriveKey(how, base, { name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"]);
}

function openDatabase() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/**
 * The records in IndexedDB: all(prefix) returns those whose key begins so, as [key, record]; write({ owner, puts, removes })
 * changes them in one transaction and returns true, or false if `owner`, [key, id], is not the
 * present one.
 */
export async function openRecords() {
  const database = await openDatabase();
  const run = (mode, work) => new Promise((resolve, reject) => {
    const transaction = database.transaction(STORE, mode);
    const result = work(transaction.objectStore(STORE), transaction);
    transaction.oncomplete = () => resolve(result());
    transaction.onabort = () => reject(transaction.error);
  });
  return {
    all: (prefix = "") => run("readonly", (store) => {
      const range = IDBKeyRange.bound(prefix, `${prefix}\uffff`);
      const [keys, values] = [store.getAllKeys(range), store.getAll(range)];
      return () => keys.result.map((key, index) => [key, values.result[index]]);
    }),
    write: ({ owner, puts = [], removes = [] }) => run("readwrite", (store) => {
      let isOurs = true;
      const change = () => {
        for (const key of removes) store.delete(key);
        for (const [key, record] of puts) store.put(record, key);
      };
      if (!owner) change();
      else store.get(owner[0]).onsuccess = ({ target }) => {
        isOurs = target.result?.id === owner[1];
        if (isOurs) change();
      };
      return () => isOurs;
    }),
  };
}

/** See the class. Null if this browser keeps nothing, or cannot encrypt. */
export async function openDeviceStore(keystore, open = openRecords, now = Date.now) {
  if (!keystore.lasting || !subtle) return null;
  try {
    const base = (await keystore.get(BASE)) ?? (await keystore.keep(BASE, await newBase()));
    const store = new DeviceStore(await open(), base, now);
    await store.tend();
    return store;
  } catch {
    return null;
  }
}

const indexOf = (records) =>
  new Map(records.map(([key, { size, used, rank }]) => [key, { size, used, rank }]));

class DeviceStore {
  #records;
  #base;
  #now;
  #keys = new Map(); // secret -> key
  #index = new Map(); // key of a record -> { size, used, rank }

  constructor(records, base, now) {
    [this.#records, this.#base, this.#now] = [records, base, now];
  }

  async #key(secret) {
    if (!this.#keys.has(secret)) this.#keys.set(secret, await deriveKey(this.#base, secret));
    return this.#keys.get(secret);
  }

  /** Deletes what is over, and learns what the others have written. */
  async tend() {
    const all = await this.#records.all();
    const over = all.filter(([, record]) => this.#isOver(record)).map(([key]) => key);
    if (over.length) await this.#records.write({ removes: over });
    const left = all.filter(([, record]) => !this.#isOver(record));
    this.#index = indexOf(left);
  }

  #isOver({ until }) {
    return until <= this.#now();
  }

  /** Becomes the owner `[key, id]` of a set of records: from now on another one cannot write it. */
  claim([key, id], lifetime) {
    const used = this.#now();
    return this.#records.write({ puts: [[key, { id, used, until: used + lifetime, size: OVERHEAD, rank: 1 }]] });
  }

  async isOwner([key, id]) {
    return this.#records.write({ owner: [key, id] });
  }

  /** The values whose key begins with `prefix`, by the rest of it. Leaves out what this secret does
   *  not open. */
  async load(prefix, secret) {
    const aes = await this.#key(secret);
    const values = new Map();
    for (const [key, record] of await this.#records.all(prefix)) {
      const { iv, bytes } = record;
      if (!bytes || this.#isOver(record)) continue;
      const how = { name: "AES-GCM", iv, additionalData: utf8(key) };
      const plain = await subtle.decrypt(how, aes, bytes).catch(() => null);
      if (plain) values.set(key.slice(prefix.length), JSON.parse(new TextDecoder().decode(plain)));
    }
    return values;
  }

  /** Writes [key, value, rank] at once, for `lifetime` ms; the rank is 0 or, usually, 1. False if `owner` is not the owner; throws
   *  if the storage is full. */
  async save(values, { secret, lifetime, owner }) {
    const aes = await this.#key(secret);
    const used = this.#now();
    const puts = await Promise.all(values.map(async ([key, value, rank = 1]) => {
      const iv = crypto.getRandomValues(new Uint8Array(IV_BYTES));
      const how = { name: "AES-GCM", iv, additionalData: utf8(key) };
      const bytes = await subtle.encrypt(how, aes, utf8(JSON.stringify(value)));
      const size = bytes.byteLength + OVERHEAD;
      return [key, { iv, bytes, used, until: used + lifetime, size, rank }];
    }));
    return this.#write(puts, owner).catch(() => this.#write(puts, owner, KEPT_MOST / 2));
  }

  async #write(puts, owner, most = KEPT_MOST) {
    const index = new Map([...this.#index, ...indexOf(puts)]);
    const removes = this.#surplus(index, new Set([...puts.map(([key]) => key), owner?.[0]]), most);
    const isOurs = await this.#records.write({ owner, puts, removes });
    for (const key of removes) index.delete(key);
    if (isOurs) this.#index = index;
    return isOurs;
  }

  /** The records that go first, as far as all together are too many bytes. */
  #surplus(index, needed, most) {
    let sum = [...index.values()].reduce((bytes, { size }) => bytes + size, 0);
    const order = ([, a], [, b]) => a.rank - b.rank || a.used - b.used;
    const oldest = [...index].filter(([key]) => !needed.has(key)).sort(order);
    const surplus = [];
    for (const [key, { size }] of oldest) {
      if (sum <= most) break;
      sum -= size;
      surplus.push(key);
    }
    return surplus;
  }

  /** Deletes the records whose key `isMeant`. */
  async remove(isMeant) {
    const removes = (await this.#records.all()).map(([key]) => key).filter(isMeant);
    await this.#records.write({ removes });
    for (const key of removes) this.#index.delete(key);
  }
}
