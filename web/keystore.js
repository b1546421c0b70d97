// SPDX-License-Identifier: MIT
//
// keystore.js - the browser's storage for private conversations: our identity keys, and the known
// keys of others. Uses IndexedDB, the only storage for keys that scripts cannot read. Several tabs
// use it at the same time: each change is one transaction, and the other tabs are notified.
//
// A keystore maps strings to values (anything but undefined):
//   lasting               whether it outlives the tab
//   get(key)              the value
//   keep(key, value)      sets the value if there is none; returns the value afterwards
//   update(key, change)   sets change(value) unless it is the same (undefined: no value); returns
//                         the value afterwards
//   watch(listener)       listener(key) is called after another tab changed a value, or EVERYTHING
//   clear()               deletes all values, in all tabs

const NAME = "ragnarok";
const STORE = "keys";
export const EVERYTHING = ""; // no key is empty

/** Keeps values until the tab closes: for private windows, or without storage permission. */
export function memoryKeystore() {
  const kept = new Map();
  const update = (key, change) => kept.set(key, change(kept.get(key))).get(key);
  return {
    lasting: false,
    get: async (key) => kept.get(key),
    keep: async (key, value) => update(key, (found) => found ?? value),
    update: async (key, change) => update(key, change),
    watch: () => {},
    clear: async () => kept.clear(),
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

/** Runs one transaction. `work` gets the store and returns the request; resolves with its result.
 *  */
function within(database, mode, work) {
  return new Promise((resolve, reject) => {
    const transaction = database.transaction(STORE, mode);
    const request = work(transaction.objectStore(STORE));
    transaction.oncomplete = () => resolve(request.result);
    transaction.onabort = () => reject(transaction.error);
  });
}

async function update(database, key, change) {
  let made;
  const found = await within(database, "readwrite", (store) => {
    const request = store.get(key);
    request.onsuccess = () => {
      made = change(request.result);
      if (made !== request.result) store.put(made, key);
    };
    return request;
  });
  return { made, isNew: made !== found };
}

export async function openKeystore() {
  try {
    const database = await openDatabase();
    const channel = new BroadcastChannel(NAME); // does not receive its own messages
    const change = async (key, making) => {
      const { made, isNew } = await update(database, key, making);
      if (isNew) channel.postMessage(key);
      return made;
    };
    return {
      lasting: true,
      get: (key) => within(database, "readonly", (store) => store.get(key)),
      keep: (key, value) => change(key, (found) => found ?? value),
      update: change,
      watch: (listener) => channel.addEventListener("message", ({ data }) => listener(data)),
      clear: async () => {
        await within(database, "readwrite", (store) => store.clear());
        channel.postMessage(EVERYTHING);
      },
    };
  } catch {
    return memoryKeystore();
  }
}
