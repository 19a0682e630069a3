export class EmulatorError extends Error {}

export interface Device {
  id: string;
  connectionString: string;
}

export interface Connection {
  deviceId: string;
  moduleId: string | null;
  protocol: 'mqtt' | 'amqp';
  since: string;
  lastActivity: string;
  subscriptions: string[];
  waitingMessages: number;
}

export interface Fault {
  operation?: string | null;
  protocol?: 'mqtt' | 'amqp' | 'https' | null;
  device?: string | null;
  route?: string | null;
  error?:
    | 'throttled'
    | 'quotaExceeded'
    | 'unauthorized'
    | 'unavailable'
    | 'disconnect'
    | 'reset'
    | 'halfOpen'
    | 'answerLost'
    | 'answerLate'
    | 'answerCorrupt'
    | null;
  status?: number | null;
  delay?: number;
  after?: number;
  duration?: number | null;
  count?: number | null;
  percent?: number;
  seed?: number;
}

/** What a cloud-to-device message has beside its body. */
export interface Message {
  properties?: Record<string, string>;
  messageId?: string;
  correlationId?: string;
  userId?: string;
  contentType?: string;
  contentEncoding?: string;
  ack?: 'none' | 'positive' | 'negative' | 'full';
  expiry?: string;
}

/** What happened; each kind has fields of its own. */
export interface Entry {
  number: number;
  time: string;
  kind: string;
  deviceId?: string;
  moduleId?: string;
  [field: string]: any;
}

/** A hub's content; what is left out of one that is written by hand is as with something new. */
export interface Snapshot {
  version?: 1;
  devices?: Array<{ deviceId: string; [member: string]: any }>;
  configurations?: Array<{ id: string; [member: string]: any }>;
  routing?: Routing;
}

/** Where events go; what is left out is as on the service. */
export interface Routing {
  endpoints?: Array<{
    name: string;
    type: 'event-hub' | 'webhook' | 'folder';
    partitions?: number;
    consumerGroups?: string[];
    url?: string;
    path?: string;
  }>;
  routes?: Array<{
    name: string;
    source?:
      | 'DeviceMessages'
      | 'TwinChangeEvents'
      | 'DeviceLifecycleEvents'
      | 'DeviceConnectionStateEvents'
      | 'DigitalTwinChangeEvents';
    condition?: string;
    endpointNames: string[];
    isEnabled?: boolean;
  }>;
  fallbackRoute?: {
    name?: '$fallback';
    source?: 'DeviceMessages';
    condition?: string;
    endpointNames?: [string];
    isEnabled?: boolean;
  };
  enrichments?: Array<{ key: string; value: string; endpointNames: string[] }>;
}

export class Emulator {
  constructor(url: string, options?: { token?: string });
  static start(options?: { binary?: string }): Promise<Emulator>;
  readonly url: URL;
  stop(): Promise<void>;
  createHub(options?: {
    name?: string;
    keys?: 'random' | 'well-known';
    seed?: Snapshot;
    routing?: Routing;
  }): Promise<Hub>;
  hubs(): Promise<Hub[]>;
  caPem(): Promise<string>;
  trust(): Promise<() => void>;
  ask(method: string, resource: string, body?: unknown, timeout?: number): Promise<any>;
}

export class Hub {
  private constructor();
  readonly name: string;
  readonly hostName: string;
  readonly ports: { mqtts: number; amqps: number; https: number; mqtt?: number; amqp?: number };
  readonly connectionStrings: Record<string, string>;
  readonly connectionString: string;
  readonly eventHubConnectionString: string;
  /** Of the further event hubs that its routes go to, by their names, as it was made. */
  readonly eventHubConnectionStrings: Record<string, string>;
  createDevice(id: string): Promise<Device>;
  reset(): Promise<void>;
  snapshot(): Promise<Snapshot>;
  restore(snapshot: Snapshot): Promise<void>;
  delete(): Promise<void>;
  advance(seconds: number): Promise<void>;
  freeze(frozen?: boolean): Promise<void>;
  showCertificate(
    kind?: 'good' | 'expired' | 'notYetValid' | 'selfSigned' | 'wrongName' | 'wrongAuthority',
  ): Promise<void>;
  injectFault(fault: Fault): Promise<() => Promise<void>>;
  injectPreset(
    preset: 'flaky-network' | 'throttled-s1' | 'hub-failover',
    seed?: number,
  ): Promise<() => Promise<void>>;
  faults(): Promise<Array<Fault & { id: number; hits: number }>>;
  send(deviceId: string, body?: unknown, message?: Message): Promise<void>;
  journal(options?: { after?: number }): Promise<Entry[]>;
  expect(match: object, options?: { timeout?: number; after?: number }): Promise<Entry>;
  connections(): Promise<Connection[]>;
  disconnect(deviceId: string): Promise<void>;
}
