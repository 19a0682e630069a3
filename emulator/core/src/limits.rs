//! Every bound of the hub in one place, with the figure's source.
//!
//! "Documented" is Microsoft's figure; "ours" is a bound that the service has too but does not
//! publish, chosen so that no SDK meets it.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Characters in a device or module id. Documented.
pub const ID_CHARACTERS: usize = 128;
/// Modules on a device. Documented.
pub const MODULES_PER_DEVICE: usize = 50;
/// Characters in a status reason. Documented.
pub const STATUS_REASON_CHARACTERS: usize = 128;
/// Bytes in a symmetric key. Documented.
pub const SYMMETRIC_KEY_BYTES: RangeInclusive<usize> = 16..=64;
/// Bytes in a shared access signature. Ours: real ones have about 200, and MQTT allows 65,535.
pub const SAS_TOKEN_BYTES: usize = 4096;
/// How far a client's clock may be off when its token is checked. Documented.
pub const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);
/// How long a connection outlives its token. Documented as 5 to 10 minutes.
pub const TOKEN_EXPIRY_GRACE: Duration = Duration::from_secs(10 * 60);

/// Certificates that a client may send beside its own. Ours: rustls bounds their bytes, and each
/// step up costs a signature check.
pub const CERTIFICATE_CHAIN: usize = 8;

/// Bytes in the tags of a twin, by the service's own measure. Documented.
pub const TWIN_TAGS_BYTES: usize = 8 * 1024;
/// Bytes in the desired or the reported properties, by the service's own measure. Documented.
pub const TWIN_PROPERTIES_BYTES: usize = 32 * 1024;
/// Objects and arrays inside each other below a twin's section. Documented.
pub const TWIN_DEPTH: usize = 10;
/// Bytes in a key of a twin. Documented.
pub const TWIN_KEY_BYTES: usize = 1024;
/// Bytes in a string value of a twin. Documented.
pub const TWIN_STRING_BYTES: usize = 4096;
/// Integers in a twin. Documented: 2^52 either way.
pub const TWIN_INTEGERS: RangeInclusive<i64> = -4_503_599_627_370_496..=4_503_599_627_370_495;

/// Configurations of a hub. Documented for paid tiers; 20 in the free one.
pub const CONFIGURATIONS: usize = 100;
/// Custom metrics of a configuration. Documented.
pub const CONFIGURATION_METRICS: usize = 5;
/// Configurations in the answer to a list request that does not say how many. Documented.
pub const CONFIGURATION_LIST: usize = 20;
/// How often the configurations are held against everything that changes without a write, such as
/// who is connected. Ours: the service takes five minutes, and as long for everything else.
pub const CONFIGURATION_INTERVAL: Duration = Duration::from_secs(30);
/// Devices that a sweep over all looks at before others get their turn. Ours.
pub const SWEEP_CHUNK: usize = 256;

/// How long a job may take that does not say. Documented.
pub const JOB_TIME: Duration = Duration::from_secs(3600);
/// How long a job is kept after its end. Documented.
pub const JOB_HISTORY: Duration = Duration::from_secs(30 * 24 * 3600);
/// Jobs that are kept. Ours: those that ended first make room for new ones.
pub const JOBS: usize = 1000;
/// Jobs at work at the same time; others wait. Documented for the largest tier.
pub const RUNNING_JOBS: usize = 10;
/// Devices that a job is at before it notes what became of them and others have their turn. Ours.
pub const JOB_CHUNK: usize = 100;
/// After what time a job calls devices again that were not there. Ours.
pub const JOB_RETRY: Duration = Duration::from_secs(1);

/// Bytes in a device-to-cloud message: body, and names and values of properties. Documented.
pub const EVENT_BYTES: usize = 256 * 1024;
/// Partitions of the built-in endpoint. Documented default.
pub const EVENT_PARTITIONS: usize = 4;
/// How many partitions the built-in endpoint may have. Documented.
pub const EVENT_PARTITION_COUNTS: RangeInclusive<usize> = 2..=32;
/// Consumer groups of an event hub beside `$Default`. Documented.
pub const CONSUMER_GROUPS: usize = 20;
/// Bytes of events kept in all partitions together. Ours: the service keeps a day, we keep what fits.
pub const EVENT_LOG_BYTES: usize = 100 * 1024 * 1024;
/// What an event costs beside its body and properties when counting the bytes kept. Ours.
pub const EVENT_OVERHEAD_BYTES: usize = 256;
/// How long event hubs may keep events: documented, one day if nobody says otherwise.
pub const EVENT_RETENTION: RangeInclusive<Duration> =
    Duration::from_secs(24 * 3600)..=Duration::from_secs(7 * 24 * 3600);
/// What may wait for a folder or a webhook that routes name: the emulator's own.
pub const ENDPOINT_QUEUE_BYTES: usize = 16 * 1024 * 1024;
/// Endpoints that routes can name beside the built-in one: documented.
pub const ROUTING_ENDPOINTS: usize = 10;
/// Endpoints that one rule can name: all of them and the built-in one.
pub const RULE_ENDPOINTS: usize = ROUTING_ENDPOINTS + 1;
/// Routes of a hub: documented.
pub const ROUTES: usize = 100;
/// Enrichments of a hub: documented.
pub const ENRICHMENTS: usize = 10;

/// Bytes in a cloud-to-device message: body and properties. Documented.
pub const DEVICEBOUND_BYTES: usize = 64 * 1024;
/// Cloud-to-device messages that wait for one device. Documented.
pub const DEVICEBOUND_QUEUE: usize = 50;
/// How long a cloud-to-device message waits, unless its sender says otherwise. Documented default.
pub const DEVICEBOUND_DEFAULT_TTL: Duration = Duration::from_secs(60 * 60);
/// How long a cloud-to-device message may wait. Documented.
pub const DEVICEBOUND_MAX_TTL: Duration = Duration::from_secs(48 * 60 * 60);
/// How long a device has to settle a message that it received. Documented, and not to be changed.
pub const DEVICEBOUND_LOCK_TIME: Duration = Duration::from_secs(60);
/// What a device may ask for instead over HTTPS. Ours: the service documents no bounds; these are
/// those of its other queues.
pub const DEVICEBOUND_LOCK_TIMES: RangeInclusive<Duration> =
    Duration::from_secs(5)..=Duration::from_secs(300);
/// How often a message may be abandoned. Documented default.
pub const DEVICEBOUND_MAX_DELIVERIES: u32 = 10;
/// Records in a batch of feedback. Documented.
pub const FEEDBACK_BATCH_RECORDS: usize = 64;
/// How long a batch of feedback is gathered. Documented.
pub const FEEDBACK_BATCH_TIME: Duration = Duration::from_secs(15);
/// How long a batch of feedback waits. Documented default.
pub const FEEDBACK_TTL: Duration = Duration::from_secs(60 * 60);
/// Batches of feedback that wait. Ours: the oldest makes room.
pub const FEEDBACK_BATCHES: usize = 256;

/// Bytes in the payload of a direct method, and in its answer. Documented.
pub const METHOD_PAYLOAD_BYTES: usize = 128 * 1024;
/// Characters in the name of a direct method. Documented.
pub const METHOD_NAME_CHARACTERS: usize = 100;
/// How many seconds a caller may wait for the answer of a device. Documented.
pub const METHOD_RESPONSE_SECONDS: RangeInclusive<i64> = 5..=300;
/// How many seconds a caller may wait for a device to connect. Documented.
pub const METHOD_CONNECT_SECONDS: RangeInclusive<i64> = 0..=300;
/// How long a caller waits for the answer of a device if it does not say. Documented.
pub const METHOD_RESPONSE_TIME: Duration = Duration::from_secs(30);
/// Direct methods that a connection has to answer. Ours: the service has an error for it, and
/// publishes no figure. Less than [`DOWNLINK_QUEUE`], so that a burst of calls is refused before it
/// costs the device its connection.
pub const METHODS_IN_FLIGHT: usize = 128;

/// Characters in the name of a property, component or command of a digital twin. Documented.
pub const DIGITAL_TWIN_NAME_CHARACTERS: usize = 64;
/// Objects inside each other in a property of a digital twin. Documented.
pub const DIGITAL_TWIN_DEPTH: usize = 5;

/// Devices in the answer to a list request. Documented, also the default.
pub const DEVICE_LIST: usize = 1000;

/// Identities in a bulk request, or in one to renew keys. Documented.
pub const BULK_ITEMS: usize = 100;
/// Import and export jobs that are remembered. Ours: the service forgets them after 30 days.
pub const TRANSFER_JOBS_KEPT: usize = 100;
/// Bytes in a line of a file that is imported. Ours: the largest identity with its twin, whose
/// metadata outweighs its content several times.
pub const IMPORT_LINE_BYTES: usize = 1024 * 1024;

/// Characters in a query. Documented.
pub const QUERY_CHARACTERS: usize = 8192;
/// Parentheses and their like inside each other in a query. Ours: people write two or three.
pub const QUERY_DEPTH: usize = 64;
/// Rows on a page of a query's answer, also the default. Documented.
pub const QUERY_PAGE: usize = 100;
/// Records that a query looks at before it lets others have the processor. Ours: about a
/// millisecond's worth.
pub const QUERY_STRIDE: usize = 4096;

/// What waits to be delivered to one connection. Ours: a connection that lets more pile up is
/// closed, as the service closes it on backlog overflow.
pub const DOWNLINK_QUEUE: usize = 256;
/// How often a change is decided again because another one came in between. Ours.
pub const COMMIT_ATTEMPTS: usize = 64;

/// Bytes in an MQTT packet: the largest message and the longest topic. Documented parts.
pub const MQTT_PACKET_BYTES: usize = EVENT_BYTES + 65_535 + 4;
/// Bytes in an MQTT CONNECT. Ours: the largest will message and what else it needs.
pub const MQTT_CONNECT_BYTES: usize = 70 * 1024;
/// Filters in an MQTT SUBSCRIBE or UNSUBSCRIBE. Ours: the service documents five subscriptions.
pub const MQTT_FILTERS: usize = 64;
/// How long a client may take to send CONNECT. Microsoft's edge hub allows the same.
pub const MQTT_CONNECT_TIME: Duration = Duration::from_secs(60);
/// How long a client may stop in the middle of a packet. Ours.
pub const MQTT_STALL_TIME: Duration = Duration::from_secs(30);
/// How long a client may take nothing of what it is sent. Ours.
pub const MQTT_WRITE_TIME: Duration = Duration::from_secs(30);
/// How long a client may be silent at most, whatever keep-alive it asks for. Documented.
pub const MQTT_SILENCE: Duration = Duration::from_secs(1767);

/// Bytes in a WebSocket message, which may hold several MQTT packets. Ours.
pub const WEBSOCKET_MESSAGE_BYTES: usize = 1024 * 1024;

/// Bytes in an AMQP frame. Documented: what the service says in its open.
pub const AMQP_FRAME_BYTES: usize = 65_536;
/// Bytes in a message over AMQP. Documented: what the service says in its attach.
pub const AMQP_MESSAGE_BYTES: usize = 1_048_576;
/// AMQP values inside each other. Ours: SDKs need about five.
pub const AMQP_DEPTH: usize = 32;
/// Elements in a compound AMQP value. Ours: nulls in an array take no bytes, so that the frame's own
/// bound does not hold them.
pub const AMQP_ELEMENTS: usize = 8192;
/// Sessions of an AMQP connection. Documented: what the service says in its open is 8,191; ours is
/// what clients that share a connection among devices use, several times over.
pub const AMQP_SESSIONS: usize = 1024;
/// Links of an AMQP connection. Ours: five for each of a thousand devices.
pub const AMQP_LINKS: usize = 5000;
/// Messages that a client may send on a link before it hears more. Documented: as seen.
pub const AMQP_CREDIT: u32 = 100;
/// Frames that a client may send on a session before it hears more. Documented: as seen.
pub const AMQP_WINDOW: u32 = 5000;
/// Messages that wait for a client to ask for them on a link, replies among them. Ours.
pub const AMQP_LINK_QUEUE: usize = 256;
/// Deliveries of a session that the client has not settled. Ours.
pub const AMQP_UNSETTLED: usize = 2048;
/// Tokens that a connection holds. Ours: the service has an error for more and publishes no figure.
pub const AMQP_TOKENS: usize = 5000;
/// How long an AMQP client may take to send its open, SASL included. Ours: as with MQTT.
pub const AMQP_OPEN_TIME: Duration = Duration::from_secs(60);
/// How long an AMQP client may take nothing of what it is sent. Ours.
pub const AMQP_WRITE_TIME: Duration = Duration::from_secs(30);
/// How long a client may be silent. Documented: what the service says in its open.
pub const AMQP_IDLE_TIME: Duration = Duration::from_secs(240);
/// Bytes of messages that have begun to come on a connection, all links together. Ours: sixteen of
/// the largest.
pub const AMQP_PARTIAL_BYTES: usize = 16 * AMQP_MESSAGE_BYTES;
/// Events that are read from the log at once for one receiver. Ours.
pub const AMQP_READ_BATCH: usize = 64;

/// Connections to the admin port. Ours: `--max-connections` is for devices and back ends.
pub const ADMIN_CONNECTIONS: usize = 256;
/// How many of them may wait for entries of a journal, so that there is room to ask whether the
/// emulator is ready. Ours.
pub const JOURNAL_WAITERS: usize = 128;
/// What the clock of a hub shows at most, in ticks: the beginning of the year 9000. Ours: dates that
/// lie some years ahead of it can still be written with four digits.
pub const LATEST_CLOCK: u64 = 2_839_809_888_000_000_000;
/// Deadlines that one turn of a hub's clock stops at one by one. Ours: each takes some milliseconds,
/// and what is due every second would keep a turn by years from ever ending.
pub const CLOCK_STOPS: usize = 1000;
/// Strides in which a turn goes on after that many stops. Ours: they take no longer than the stops.
pub const CLOCK_STRIDES: u32 = 1000;
/// Bytes in a request to the harness. Ours.
pub const ADMIN_BODY_BYTES: usize = 1024 * 1024;
/// Entries in the journal of a hub, and the bytes that they may hold. Ours: a few minutes of a busy
/// test.
pub const JOURNAL_ENTRIES: usize = 10_000;
/// See [`JOURNAL_ENTRIES`].
pub const JOURNAL_BYTES: usize = 4 * 1024 * 1024;
/// What a change of desired properties counts for in the journal: about what most have. Ours.
pub const JOURNAL_DESIRED_BYTES: usize = 1024;
/// Entries of a journal in one answer. Ours.
pub const JOURNAL_PAGE: usize = 1000;
/// Bytes in a document that a hub is restored from, or begins with. Ours: 10,000 devices whose twins
/// are well filled.
pub const SNAPSHOT_BYTES: usize = 64 * 1024 * 1024;
/// Documents that are restored at the same time, since each takes several times its bytes. Ours.
pub const RESTORES: usize = 1;
/// Bytes that documents which are coming or waiting may have beyond [`ADMIN_BODY_BYTES`] each, all
/// of them together; one more may come when there is no room left. Ours: as many as one may have.
pub const RESTORE_ROOM_BYTES: usize = SNAPSHOT_BYTES;
/// How long a document waits for others to be restored, or for its turn where there is no room.
/// Ours: longer than three that stall one after another.
pub const RESTORE_WAIT: Duration = Duration::from_secs(20);
/// How long the sender of a document may stop once it has sent [`ADMIN_BODY_BYTES`]. Ours: what it
/// has sent takes room.
pub const RESTORE_STALL_TIME: Duration = Duration::from_secs(5);
/// How long what is left of a document may take to come where there is no room for it, since others
/// wait for that. Ours: 64 MiB at 50 megabits a second.
pub const RESTORE_BODY_TIME: Duration = Duration::from_secs(12);
/// Devices, modules and configurations in a document, together: 1,000,000 devices of a hub are
/// documented.
pub const SNAPSHOT_PARTS: usize = 1_000_000;
/// Bytes of one of them in a document. Ours: twice what twins at their bounds take with all their
/// metadata, laid out for people.
pub const SNAPSHOT_PART_BYTES: usize = 8 * 1024 * 1024;
/// Mistakes of a document that are told; after them it is not read on. Ours.
pub const SNAPSHOT_MISTAKES: usize = 1000;
/// Versions that a document may say. Ours: all that JSON is sure to hold, which leaves room to count.
pub const SNAPSHOT_VERSION: u64 = (1 << 53) - 1;
/// Faults in a hub at once. Ours.
pub const FAULTS: usize = 1000;
/// How long a fault that a device's message asks for may wait and last. Ours.
pub const FAULT_MESSAGE_SPAN: Duration = Duration::from_secs(3600);
/// Hubs at once: each takes three ports and the tasks that accept there. Ours.
pub const HUBS: usize = 1000;
/// Connections that wait to be accepted at one port. Ours: what Linux allows by default. With the
/// usual 128, devices that all connect at once wait a second and try again.
pub const LISTEN_BACKLOG: u32 = 4096;
/// How long a TLS handshake may take. Ours.
pub const TLS_HANDSHAKE_TIME: Duration = Duration::from_secs(30);
/// How long a client may take from one HTTP request to the head of the next. Ours.
pub const HTTP_HEAD_TIME: Duration = Duration::from_secs(120);
/// How long the body of an HTTP request may take. Ours.
pub const HTTP_BODY_TIME: Duration = Duration::from_secs(60);
/// Bytes in the body of an HTTP request. Ours: a bulk request of 100 devices with their twins is
/// the largest documented one.
pub const HTTP_BODY_BYTES: usize = 8 * 1024 * 1024;
/// Bytes of a body that is too large which are read and dropped. Ours.
pub const HTTP_DISCARDED_BYTES: usize = 64 * 1024 * 1024;
