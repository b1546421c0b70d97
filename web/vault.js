// SPDX-License-Identifier: MIT
//
// vault.js - what the browser keeps for private conversations: our identity key, and whose keys we
// know. It is IndexedDB, for nothing else can keep a key that no script can read.

const NAME = "ragnarok";
const STORE = "keys";

/** Keeps things until the tab closes; for a private window, or a browser that is told to forget. */
export function memoryVault() {
  const kept = new Map();
  return {
    lasting: false,
    get: async (key) => kept.get(key),
    put: async (key, value) => void kept.set(key, value),
    keep: async (key, value) => kept.get(key) ?? (kept.set(key, value), value),
  };
}

function openDatabase() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** One transaction. `work` gets the store and returns the request whose result is wanted. */
function within(database, mode, work) {
  return new Promise((resolve, reject) => {
    const transaction = database.transaction(STORE, mode);
    const request = work(transaction.objectStore(STORE));
    transaction.oncomplete = () => resolve(request.result);
    transaction.onabort = () => reject(transaction.error);
  });
}

/** Puts the value unless something is there, in one transaction: two tabs agree on what is kept. */
async function keep(database, key, value) {
  const found = await within(database, "readwrite", (store) => {
    const request = store.get(key);
    request.onsuccess = () => request.result ?? store.put(value, key);
    return request;
  });
  return found ?? value;
}

/** `lasting` says whether it outlives the tab. Keys are strings, values anything but undefined. */
export async function openVault() {
  try {
    const database = await openDatabase();
    return {
      lasting: true,
      get: (key) => within(database, "readonly", (store) => store.get(key)),
      put: (key, value) => within(database, "readwrite", (store) => store.put(value, key)),
      keep: (key, value) => keep(database, key, value),
    };
  } catch {
    return memoryVault();
  }
}
