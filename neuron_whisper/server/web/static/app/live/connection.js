// The state machine of the connection: when to try again, when to stop trying and ask. Pure; times in milliseconds.

export const MAX_TRIES = 8;
const FIRST_DELAY_MS = 500;
const MAX_DELAY_MS = 10_000;
const STEADY_MS = 10_000; // a connection that held this long counts as recovered

/**
 * @typedef {{code: string, isFinal?: boolean, message?: string, retryAfter?: number}} Problem
 *   `isFinal`: trying again will not help before somebody does something; `retryAfter` in seconds
 * @typedef {object} Connection
 * @property {"idle" | "connecting" | "open" | "waiting" | "stopped" | "closed"} phase stopped: a person tries again
 * @property {number} tries in a row that failed
 * @property {number} retryAt
 * @property {number} openedAt
 * @property {Problem | null} problem of the last drop, until a connection is open again
 * @typedef {{type: "connect"} | {type: "ready", now: number} | {type: "closed"}
 *   | {type: "dropped", now: number, random: number, problem: Problem}} ConnectionEvent `random`: 0 to 1
 */

/** @type {Connection} */
export const NOT_CONNECTED = Object.freeze({ phase: "idle", tries: 0, retryAt: 0, openedAt: 0, problem: null });

/**
 * @param {Connection} state
 * @param {ConnectionEvent} event
 * @returns {Connection}
 */
export function nextConnection(state, event) {
  switch (event.type) {
    case "connect":
      return { ...state, phase: "connecting", tries: state.phase === "stopped" ? 0 : state.tries };
    case "ready":
      return { ...state, phase: "open", openedAt: event.now, problem: null };
    case "closed":
      return { ...NOT_CONNECTED, phase: "closed" };
    case "dropped": {
      const { now, problem, random } = event;
      const wasSteady = state.phase === "open" && now - state.openedAt >= STEADY_MS;
      const tries = (wasSteady ? 0 : state.tries) + 1;
      if (problem.isFinal || tries > MAX_TRIES) return { ...state, phase: "stopped", tries, problem };
      const retryAt = now + findDelay(tries, random, problem.retryAfter);
      return { ...state, phase: "waiting", tries, problem, retryAt };
    }
  }
}

/**
 * Doubles with each try up to ten seconds; up to a quarter less by chance, so that not all come back at once.
 * @param {number} tries
 * @param {number} random
 * @param {number} [retryAfter] seconds that the server asked for
 */
export function findDelay(tries, random, retryAfter = 0) {
  const delay = Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** (tries - 1));
  return Math.round(Math.max(1000 * retryAfter, delay * (1 - random / 4)));
}
