/** The only place where tests wait. */

const PAUSE_MS = 15;

/**
 * Asks `condition` again and again until it gives something true, and gives that.
 * A condition that throws is asked again; its last error is the cause of the
 * failure that comes after `timeout` milliseconds.
 *
 * @template T
 * @param {() => T | Promise<T>} condition
 * @param {{timeout?: number, what?: string}} [options] `what` is waited for, in words.
 * @returns {Promise<T>}
 */
export async function until(condition, { timeout = 5000, what = "the condition" } = {}) {
  const deadline = performance.now() + timeout;
  for (;;) {
    let cause;
    try {
      const value = await condition();
      if (value) return value;
    } catch (error) {
      cause = error;
    }
    if (performance.now() > deadline) throw new Error(`Waited ${timeout} ms in vain for ${what}.`, { cause });
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}
