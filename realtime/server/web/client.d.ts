/** Types of client.js, the client of the realtime protocol, version 1. PROTOCOL.md says what they mean. */

export type Wire = "sse" | "ndjson" | "ws";
export type State = "queued" | "starting" | "streaming" | "stopping" | "finished";
export type Outcome = "completed" | "stopped" | "failed";
export type Reason = "stop" | "length" | "tool_calls" | "content_filter" | "refusal" | "pause" | "other";
export type Connection = "connecting" | "open" | "waiting" | "disconnected" | "ended";

export interface ErrorObject {
  code: string;
  message: string;
  retryable: boolean;
  field?: string;
  limit?: number;
  retry_after_s?: number;
  generation?: string;
}

export interface Usage {
  input_tokens?: number;
  output_tokens?: number;
  cached_input_tokens?: number;
  cache_write_input_tokens?: number;
  reasoning_tokens?: number;
  estimated?: boolean;
}

export interface Timings {
  duration_ms: number;
  first_event_ms?: number;
}

interface Numbered<Type extends string> {
  /** The cursor of the event. */
  id: string;
  type: Type;
  /** Milliseconds since `started`. */
  at: number;
}

export interface Started extends Numbered<"started"> {
  generation: string;
  model: string;
  created_ms: number;
  conversation?: string;
  metadata?: Record<string, unknown>;
}
export interface Queued extends Numbered<"queued"> {
  /** In the line, from 1. */
  position: number;
}
export interface Attempt extends Numbered<"attempt"> {
  n: number;
  provider: string;
  model: string;
  error?: ErrorObject;
}
export interface Text extends Numbered<"text"> {
  text: string;
  part?: number;
}
export interface Reasoning extends Numbered<"reasoning"> {
  text: string;
  part?: number;
  signature?: string;
  redacted?: string;
}
export interface Refusal extends Numbered<"refusal"> {
  text: string;
  part?: number;
}
export interface ToolCall extends Numbered<"tool_call"> {
  call: string;
  name: string;
  part?: number;
  provider_run?: boolean;
}
export interface ToolArguments extends Numbered<"tool_arguments"> {
  text: string;
  call: string;
}
export interface ToolResult extends Numbered<"tool_result"> {
  call: string;
  content: unknown;
  is_error?: boolean;
}
export interface Source extends Numbered<"source"> {
  url?: string;
  title?: string;
  part?: number;
  detail?: unknown;
}
export interface File extends Numbered<"file"> {
  media_type: string;
  url?: string;
  data?: string;
  name?: string;
}
export interface Data extends Numbered<"data"> {
  name: string;
  value: unknown;
}
export interface Extra extends Numbered<"extra"> {
  kind: string;
  value: unknown;
}
export interface Finished extends Numbered<"finished"> {
  outcome: Outcome;
  reason?: Reason;
  native_reason?: string;
  stopped_by?: "owner" | "disconnect" | "replaced" | "server";
  error?: ErrorObject;
  usage?: Usage;
  timings?: Timings;
}

export type Content =
  | Text
  | Reasoning
  | Refusal
  | ToolCall
  | ToolArguments
  | ToolResult
  | Source
  | File
  | Data
  | Extra;
export type Event = Started | Queued | Attempt | Content | Finished;

/** A control frame; one with `reset` asks its reader to forget everything it has. */
export interface Position {
  type: "position";
  generation: string;
  cursor: string;
  head: string;
  state: State;
  reset: "branch" | "trimmed" | null;
}

/** With `view: "json"`: what the text parses to so far. */
export interface JsonFrame {
  type: "json";
  generation: string;
  value: unknown;
  final: boolean;
}

export interface Message {
  role: "assistant";
  content: Record<string, unknown>[];
  text: string;
}

/** What a server says of a generation. */
export interface Generation {
  id: string;
  state: State;
  model: string;
  created_ms: number;
  cursor: string;
  links: { self: string; events: string; stop: string };
  conversation?: string;
  metadata?: Record<string, unknown>;
  message?: Message;
  outcome?: Outcome;
  reason?: Reason;
  native_reason?: string;
  stopped_by?: string;
  error?: ErrorObject;
  usage?: Usage;
  timings?: Timings;
  /** Events at the beginning that are no longer kept. */
  trimmed?: number;
  /** In the line, from 1, while it waits in one. */
  queue_position?: number;
}

export interface StartRequest {
  /** `<provider>/<model>`, or an alias */
  model: string;
  prompt?: string;
  messages?: Record<string, unknown>[];
  system?: string;
  max_tokens?: number;
  temperature?: number;
  top_p?: number;
  stop?: string[];
  tools?: Record<string, unknown>[];
  provider_tools?: Record<string, unknown>[];
  tool_choice?: "auto" | "none" | "required" | { name: string };
  response_format?: Record<string, unknown>;
  options?: Record<string, unknown>;
  conversation?: string;
  if_busy?: "reject" | "replace" | "allow";
  on_disconnect?: "stop" | "continue";
  grace?: number;
  deadlines?: { connect?: number; first_event?: number; idle?: number; total?: number };
  metadata?: Record<string, unknown>;
  retain?: "all" | "window";
}

export interface ObserveOptions {
  /** `sse` by default. */
  wire?: Wire;
  /** A cursor to go on after; everything without it. */
  after?: string;
  /** Join the deltas of what is already there. */
  replay?: "merged";
  /** Have `json` frames too. */
  view?: "json";
  /** `<rate>[,<burst>]` in deltas per second. */
  pace?: string | number;
  /** Least time between two writes to this observer. */
  flushMs?: number;
  /** Ends the observation, not the generation. */
  signal?: AbortSignal;
  /** With it the observation is not iterated. */
  onEvent?: (event: Event) => void;
  onJson?: (frame: JsonFrame) => void;
  /** Forget everything that `onEvent` gave: the whole follows. */
  onReset?: (position: Position) => void;
  /** `state` or `connection` changed. */
  onChange?: (observation: Observation) => void;
}

export interface RealtimeOptions {
  headers?: Record<string, string> | null;
  silenceMs?: number;
  fetch?: typeof fetch;
  EventSource?: unknown;
  WebSocket?: unknown;
}

export class RealtimeError extends Error {
  constructor(error: ErrorObject, status?: number | null);
  /** A code of the protocol, `http_<status>`, or the client's own `unreachable`, `broken` and `misuse`. */
  readonly code: string;
  readonly retryable: boolean;
  readonly status: number | null;
  readonly error: ErrorObject;
}

export class Realtime {
  constructor(baseUrl?: string, options?: RealtimeOptions);
  start(request: StartRequest, options?: { idempotencyKey?: string; signal?: AbortSignal }): Promise<Generation>;
  observe(generation: string, options?: ObserveOptions): Observation;
  stop(
    generation: string,
    options?: { wire?: "http" | "ws"; signal?: AbortSignal },
  ): Promise<{ state: State; outcome?: Outcome | null }>;
  get(generation: string, options?: { signal?: AbortSignal }): Promise<Generation>;
  list(options?: {
    limit?: number;
    before?: string;
    conversation?: string;
    signal?: AbortSignal;
  }): Promise<{ generations: Generation[]; next: string | null }>;
  conversation(
    conversation: string,
    options?: { signal?: AbortSignal },
  ): Promise<{ conversation: string; active: string | null; latest: string | null }>;
  models(options?: { signal?: AbortSignal }): Promise<{ id: string; provider: string }[]>;
}

export class Observation implements AsyncIterable<Event | JsonFrame | Position> {
  private constructor();
  readonly generation: string;
  readonly cursor: string | null;
  readonly head: string | null;
  readonly state: State;
  readonly connection: Connection;
  readonly retryMs: number;
  readonly problem: RealtimeError | null;
  readonly finished: Finished | null;
  readonly done: Promise<Finished | null>;
  disconnect(): void;
  reconnect(): void;
  close(): void;
  [Symbol.asyncIterator](): AsyncIterator<Event | JsonFrame | Position>;
}

/** The whole message that events fold into; control frames among them are passed over. */
export function assemble(events: Iterable<Event | JsonFrame | Position>): Message;
