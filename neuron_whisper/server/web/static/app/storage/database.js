// The browser's database: opened once, brought up to date by migrations, used by transactions.

const NAME = "neuron-whisper";

/** Each brings the database from the version of its place to the next; published ones are never changed. */
const MIGRATIONS = [
  (/** @type {IDBDatabase} */ database) => {
    database.createObjectStore("entries", { keyPath: "id" }); // what a list shows of each document
    database.createObjectStore("documents", { keyPath: "id" }); // without what is in `parts` and `sources`
    database.createObjectStore("parts", { keyPath: ["id", "part"] }); // segments, a hundred each: an edit writes one
    database.createObjectStore("sources", { keyPath: "id" }); // the response as it came, and peaks: written once
    database.createObjectStore("audio", { keyPath: "id" }); // size and place of a recording; its bytes without OPFS
  },
];

/** @type {Promise<IDBDatabase> | null} */
let opening = null;
/** @type {IDBDatabase | null} */
let opened = null;

/** The database. Rejects where the browser keeps nothing. */
export function openDatabase() {
  opening ??= open().catch((error) => {
    opening = null;
    throw error;
  });
  return opening;
}

/** The database if it is open: a page that is being closed cannot wait for it. */
export function openedDatabase() {
  return opened;
}

/** @returns {Promise<IDBDatabase>} */
function open() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, MIGRATIONS.length);
    request.onupgradeneeded = ({ oldVersion }) => {
      for (const migrate of MIGRATIONS.slice(oldVersion)) migrate(request.result);
    };
    request.onsuccess = () => {
      opened = request.result;
      // another tab has a newer page: it must not wait for this one
      const forget = () => {
        opened = null;
        opening = null;
      };
      opened.onversionchange = () => {
        request.result.close();
        forget();
      };
      opened.onclose = forget;
      resolve(opened);
    };
    request.onerror = () => reject(request.error);
  });
}

/**
 * Runs `work` in a transaction; what it returns is given once everything is written.
 * @template T
 * @param {string[]} stores
 * @param {IDBTransactionMode} mode
 * @param {(transaction: IDBTransaction) => T | Promise<T>} work may only wait for requests of the transaction
 * @returns {Promise<T>}
 */
export async function transact(stores, mode, work) {
  const transaction = (await openDatabase()).transaction(stores, mode);
  const done = new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve(undefined);
    transaction.onabort = () => reject(transaction.error ?? new Error("the transaction was aborted"));
  });
  done.catch(() => {}); // told by the await below, unless `work` fails first
  try {
    const result = await work(transaction);
    await done;
    return result;
  } catch (error) {
    try {
      transaction.abort();
    } catch {
      // it had ended
    }
    throw error;
  }
}

/** @template T @param {IDBRequest<T>} request @returns {Promise<T>} */
export function result(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
