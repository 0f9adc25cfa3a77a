// A small observable store, and the hook that renders a component again when what it selected has changed.
import { useEffect, useReducer, useRef } from "../vendor/htm-preact.js";

/**
 * @template T
 * @typedef {object} Store
 * @property {() => T} get the present state; never change it in place
 * @property {(patch: Partial<T> | ((state: T) => Partial<T>)) => void} set lays the patch over the state, tells who
 *   listens
 * @property {(listener: (state: T) => void) => () => void} subscribe gives the function that ends it
 */

/**
 * @template {object} T
 * @param {T} initial
 * @returns {Store<T>}
 */
export function createStore(initial) {
  let state = initial;
  /** @type {Set<(state: T) => void>} */
  const listeners = new Set();
  return {
    get: () => state,
    set(patch) {
      const changes = typeof patch === "function" ? patch(state) : patch;
      state = { ...state, ...changes };
      for (const listener of [...listeners]) listener(state);
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}

/**
 * What `select` takes from the store's state; the component renders again when it is another value (`Object.is`).
 * @template T, S
 * @param {Store<T>} store
 * @param {(state: T) => S} select
 * @returns {S}
 */
export function useStore(store, select) {
  const [, renderAgain] = useReducer((/** @type {number} */ count) => count + 1, 0);
  const selected = select(store.get());
  const last = useRef({ select, selected });
  last.current = { select, selected };
  useEffect(() => {
    const check = () => {
      if (!Object.is(last.current.select(store.get()), last.current.selected)) renderAgain(0);
    };
    check(); // what changed between rendering and this effect
    return store.subscribe(check);
  }, [store]);
  return selected;
}
