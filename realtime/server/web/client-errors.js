/**
 * The one error of the client, and the refusals that only a client can see.
 *
 * @module
 */

/** A refusal by the server, or the want of one; `message` is a sentence that may be shown to anyone. */
export class RealtimeError extends Error {
  /**
   * @param {{code: string, message: string, retryable: boolean}} error The protocol's error object.
   * @param {number | null} status The HTTP status it came with.
   */
  constructor(error, status = null) {
    super(error.message);
    this.name = "RealtimeError";
    this.code = error.code;
    this.retryable = error.retryable;
    this.status = status;
    this.error = error;
  }
}

/** No answer at all. */
export const unreachable = () =>
  new RealtimeError({ code: "unreachable", message: "The server cannot be reached.", retryable: true });

/** A connection that ended before `finished`. */
export const broken = () =>
  new RealtimeError({ code: "broken", message: "The connection broke before the end.", retryable: true });

/** The caller's mistake: trying again would repeat it. */
export const misuse = (message) => new RealtimeError({ code: "misuse", message, retryable: false });

/** What an HTTP response that is not ok says, be it the server's own problem document or a proxy's page. */
export async function refusal(response) {
  const { status, statusText } = response;
  const problem = await response.json().catch(() => null);
  if (typeof problem?.code === "string") return new RealtimeError({ message: problem.detail, ...problem }, status);
  const retryable = status >= 500 || status === 429 || status === 408;
  const message = `The server answered ${status} ${statusText}`.trim() + ".";
  return new RealtimeError({ code: `http_${status}`, message, retryable }, status);
}
