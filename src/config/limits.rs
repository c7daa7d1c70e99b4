//! The limits of the server, with their units in their names and the reasons beside them. Those of one protocol stand with it.
//!
//! **Invariant:** this file names no other module, so every layer may use it. Where a limit can be configured, what
//! stands here is its default or its bound.

/// Largest body of one PutObject or UploadPart, in bytes (the S3 limit).
pub const PUT_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024;
/// Largest object, in bytes (the S3 limit).
pub const OBJECT_BYTES_MAX: u64 = 50 * 1024 * 1024 * 1024 * 1024;
/// Least bytes of a part that is not the last (the S3 limit).
pub const PART_BYTES_MIN: u64 = 5 * 1024 * 1024;
/// Highest part number (the S3 limit).
pub const PART_NUMBER_MAX: u32 = 10_000;
/// Most uploads at a time of a bucket with a quota, which counts parts only when they have become an object: each upload may
/// hold as much as still fits.
pub const QUOTA_UPLOADS_MAX: usize = 100;
/// Most keys of a page of a listing (the S3 limit).
pub const LIST_KEYS_MAX: usize = 1000;
/// Most keys of one DeleteObjects (the S3 limit).
pub const DELETE_KEYS_MAX: usize = 1000;
/// Most names of a page of ListBuckets (the S3 limit).
pub const LIST_BUCKETS_MAX: usize = 10_000;
/// Most bytes of user metadata, names and values together (the S3 limit).
pub const METADATA_BYTES_MAX: usize = 2048;
/// One block of a body on its way in or out: large enough that system calls do not count, small enough that hundreds of
/// connections fit in memory.
pub const BLOCK_BYTES: usize = 256 * 1024;
/// Largest body that the catalog keeps until its file is durable, in bytes, unless it is configured: from here on the
/// bytes cost the catalog more than the syncs they save.
pub const INLINE_BYTES_MAX: usize = 16 * 1024;
/// The most that may be configured for it, in bytes: a group of such commits must stay a small transaction.
pub const INLINE_BYTES_MOST: usize = 64 * 1024;
/// Most bytes that the catalog keeps for files that are not durable yet; past it small bodies are synced like others.
pub const INLINE_TOTAL_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Blocks kept for the next body: more than are filled at a time, and no memory to speak of.
pub const BLOCKS_KEPT_MAX: usize = 16;
/// Largest XML body, in bytes: 1,000 deletes or 10,000 parts fit.
pub const BODY_XML_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Age under which a file whose mtime moves in ticks may be written again without a new mtime, in nanoseconds: the
/// coarsest tick in use is that of FAT, two seconds.
pub const STAMP_YOUNG_NANOS: i64 = 2_000_000_000;
/// Seconds between two frames of a body before the client is given up.
pub const BODY_IDLE_SECONDS_MAX: u64 = 60;
/// Seconds a client may take to send the head of a request.
pub const HEADER_READ_SECONDS_MAX: u64 = 10;
/// Most bytes of the head of a request.
pub const HEADER_BYTES_MAX: usize = 64 * 1024;
/// Seconds that requests under way get at a stop.
pub const DRAIN_SECONDS_MAX: u64 = 30;
/// Tries to decide a write against a row that keeps moving.
pub const COMMIT_TRIES_MAX: usize = 16;
/// How long a storage that is not waited for any longer may still take to do what it was asked, in seconds: to remove a
/// version from its key.
pub const REMOVAL_LATE_SECONDS_MAX: u64 = 60;
/// Versions whose removal may still be made that are remembered; what is beyond is for `gc`.
pub const REMOVALS_LATE_MAX: usize = 1000;
/// Files of current versions beside their keys that one run of `gc` remembers until its end; the next one goes on.
pub const GC_ASIDE_MAX: usize = 10_000;
/// Times that a Complete waits for another one of its upload that then fails.
pub const COMPLETE_WAITS_MAX: u32 = 3;
/// Seconds that a Complete works before its answer begins, with white space: clients and proxies give up a connection on
/// which nothing comes for a minute.
pub const COMPLETE_SILENT_SECONDS_MAX: u64 = 10;
/// Tries to read bytes whose row keeps moving.
pub const READ_TRIES_MAX: usize = 4;
/// Most connections of one listener at a time; further ones wait in the kernel's queue. Ten thousand idle clients fit,
/// and the file descriptors of the requests among them.
pub const CONNECTIONS_MAX: usize = 16_384;
/// Bytes that must have come before the time for the first head is up: the length of the preface that tells HTTP/2 from
/// HTTP/1, while which no timer of the HTTP library runs yet.
pub const OPENING_BYTES: usize = 24;
/// Seconds a client may leave its receive window closed before its connection is cut.
pub const WRITE_STALL_SECONDS_MAX: u64 = 60;
/// Bytes of a body that are read and thrown away after an early answer, so that its client comes to read it: what is
/// under way on a fast line.
pub const LINGER_BYTES_MAX: usize = 1024 * 1024;
/// Seconds for which they are.
pub const LINGER_SECONDS_MAX: u64 = 2;
/// Milliseconds to wait before accepting again when the process is out of file descriptors.
pub const ACCEPT_RETRY_MILLIS: u64 = 50;
/// Most concurrent streams of one HTTP/2 connection.
pub const HTTP2_STREAMS_MAX: u32 = 250;
/// Flow-control window of one HTTP/2 stream, in bytes: a part of a bulk transfer is not held up by round trips.
pub const HTTP2_STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
/// Flow-control window of one HTTP/2 connection, in bytes: what one connection can make the server buffer.
pub const HTTP2_CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// Largest HTTP/2 frame that is taken, in bytes.
pub const HTTP2_FRAME_BYTES_MAX: u32 = 64 * 1024;
/// Seconds between two pings of an idle HTTP/2 connection.
pub const HTTP2_PING_SECONDS: u64 = 20;
/// Seconds an HTTP/2 ping may go unanswered.
pub const HTTP2_PONG_SECONDS_MAX: u64 = 10;
/// Largest configuration file, in bytes.
pub const CONFIG_BYTES_MAX: u64 = 1024 * 1024;
/// Seconds a managed file that nothing names is left alone, so that a slow write comes to its commit; `gc --grace` may
/// say otherwise. A write that is slower still fails as a whole.
pub const GC_GRACE_SECONDS: u64 = 24 * 60 * 60;
/// Seconds between two walks of a bucket by the server. A walk costs a look at every file, and without any the listing
/// never learns of what others put there, edited or removed.
pub const SCAN_INTERVAL_SECONDS: u64 = 24 * 60 * 60;
/// Most findings of one bucket that `fsck` lists; further ones are counted.
pub const FINDINGS_LISTED_MAX: usize = 10_000;
/// Most rows of one page when the command line walks buckets or users.
pub const CLI_PAGE_ROWS: usize = 1000;
/// Most bytes of the target of a request: the longest key, escaped, with a presigned query behind it, is half of it.
pub const URI_BYTES_MAX: usize = 8 * 1024;
/// Most bytes of the header fields of a request, names and values together.
pub const FIELDS_BYTES_MAX: usize = 16 * 1024;
/// Largest policy document, in bytes (the limit of IAM for a bucket policy).
pub const POLICY_BYTES_MAX: u64 = 20 * 1024;
/// Most policies of users that are remembered as they were compiled; all are forgotten when it is full.
pub const POLICIES_REMEMBERED_MAX: usize = 1000;
/// Jobs that may wait for the writer of the catalog. Past it callers wait for a place, so a burst costs time and not
/// memory; several groups' worth, so that the writer never runs dry.
pub const CATALOG_QUEUE_JOBS_MAX: usize = 512;
/// Jobs of one transaction of the catalog. The gain of sharing one fsync flattens out long before, and whoever comes
/// first waits for the whole group.
pub const CATALOG_GROUP_JOBS_MAX: usize = 128;
/// Seconds a statement waits for another process (the command line) to end its transaction.
pub const CATALOG_BUSY_SECONDS_MAX: u64 = 5;
/// Connections to the catalog for point lookups. They are held only while a thread of the runtime computes.
pub const CATALOG_LOOKUPS_MAX: u32 = 8;
/// Connections to the catalog for listings and other walks, and so the threads they occupy at a time.
pub const CATALOG_WALKS_MAX: u32 = 4;
/// Page cache of one reader of the catalog, in KiB. The pages are in the cache of the operating system too; this saves
/// only copies.
pub const CATALOG_READER_CACHE_KIB: i64 = 2 * 1024;
/// Page cache of the writer of the catalog, in KiB: what one group changes should fit, else SQLite spills into the WAL
/// early.
pub const CATALOG_WRITER_CACHE_KIB: i64 = 8 * 1024;
/// Prepared statements that each connection to the catalog keeps: all that there are.
pub const CATALOG_STATEMENTS_KEPT_MAX: usize = 120;
/// Bytes that the catalog's WAL keeps on disk after a checkpoint; one large transaction may make it longer for a while.
pub const CATALOG_WAL_BYTES_KEPT: i64 = 64 * 1024 * 1024;
/// Bytes kept back beside the catalog so that a full disk can be emptied: twice what its WAL grows to between two
/// checkpoints, which SQLite makes every 1,000 pages of 4 KiB.
pub const CATALOG_RESERVE_BYTES: u64 = 8 * 1024 * 1024;
/// Connections of one process to a catalog in Postgres, besides those of its walks: as many as short transactions need
/// that each wait for a disk, and few enough that several processes fit under the hundred that a server allows by default.
pub const CATALOG_CONNECTIONS_MAX: u32 = 16;
/// Seconds that a connection to Postgres may take to be made.
pub const CATALOG_CONNECT_SECONDS_MAX: u64 = 5;
/// Seconds that a request waits for a connection to Postgres while all are busy.
pub const CATALOG_WAIT_SECONDS_MAX: u64 = 10;
/// Seconds that a statement may run in Postgres; it ends a slower one itself.
pub const CATALOG_STATEMENT_SECONDS_MAX: u64 = 30;
/// Seconds that a statement waits for a lock in Postgres. Transactions here take milliseconds.
pub const CATALOG_LOCK_SECONDS_MAX: u64 = 5;
/// Seconds after which an answer of Postgres is not waited for any more: longer than it lets a statement run.
pub const CATALOG_ANSWER_SECONDS_MAX: u64 = 40;
/// Seconds for which nothing comes from Postgres before the connection is looked at, and after which it is given up.
pub const CATALOG_SILENCE_SECONDS_MAX: u64 = 15;
/// Tries of a transaction that met others in Postgres so that one of them had to give way.
pub const CATALOG_MEETINGS_MAX: u32 = 5;
/// Seconds for which a process counts as being at work after it said so, and for which a job is its own: what it leaves when
/// it is killed waits so long for another one. A process whose clock stands still for longer has lost nothing.
pub const GATEWAY_LEASE_SECONDS: u32 = 10;
/// Seconds between two times that a process says that it is at work.
pub const GATEWAY_BEAT_SECONDS: u64 = 2;
/// Rows of a listing over which the policies of a role are asked at a time: what they hide is bounded work.
pub const CATALOG_WINDOW_ROWS: usize = 10_000;
/// Windows of one answer, when a role sees nearly nothing of them; then it stops to look, and the next page goes on.
pub const CATALOG_WINDOWS_MAX: usize = 25;
/// Versions that a role is asked about in one round trip.
pub const CATALOG_VERSIONS_AT_ONCE: usize = 100;
/// Tries to read a row under a role while it is written anew.
pub const CATALOG_ROLE_READS_MAX: u32 = 4;
/// Buckets of which a process remembers that they are counted; all are forgotten when it is full.
pub const CATALOG_COUNTED_REMEMBERED_MAX: usize = 10_000;
/// Most bytes of the head of one field of a form: names of files are in it, and user metadata in base64.
pub const FORM_HEAD_BYTES_MAX: usize = 8 * 1024;
/// Most bytes of a form before its file, framing and all (the S3 limit): they are read before anybody is verified.
pub const FORM_FIELDS_BYTES_MAX: usize = 20 * 1024;
/// Most fields of a form.
pub const FORM_FIELDS_MAX: usize = 100;
/// Most bytes behind the file of a form, which count for nothing.
pub const FORM_REST_BYTES_MAX: usize = 64 * 1024;
/// Most named keys of the configuration.
pub const ENCRYPTION_KEYS_MAX: usize = 1000;
/// Most bytes of an encryption context, as it is sent (its limit in S3's key service, in base64).
pub const ENCRYPTION_CONTEXT_BYTES_MAX: usize = 8 * 1024;
/// Events of one target that are read at a time.
pub const EVENT_PAGE_ROWS: usize = 256;
/// Events that are posted to one target at a time, of different keys.
pub const EVENT_POSTS_AT_ONCE: usize = 8;
/// Seconds that a target may take to answer.
pub const EVENT_POST_SECONDS_MAX: u64 = 5;
/// Seconds until a target that does not answer is tried again, at the most.
pub const EVENT_PAUSE_SECONDS_MAX: u64 = 60;
/// Times that a target may refuse an event before it is given up.
pub const EVENT_REFUSALS_MAX: u32 = 5;
/// Seconds for which an event that nobody takes is kept.
pub const EVENT_AGE_SECONDS_MAX: u64 = 24 * 60 * 60;
/// Most events that are kept for targets that do not answer: a gigabyte or so of the catalog.
pub const EVENTS_KEPT_MAX: u64 = 1_000_000;
/// Most targets of notifications.
pub const TARGETS_MAX: usize = 100;
/// Seconds between two passes of the lifecycle worker; a quarter of a day of its rules, if that is less.
pub const LIFECYCLE_PASS_SECONDS_MAX: u64 = 60 * 60;
/// Rows that a pass of the lifecycle worker reads, and removals that it collects, at a time.
pub const LIFECYCLE_WINDOW_ROWS: usize = 1000;
/// Removals of a lifecycle pass under way at a time: they share the syncs of their commits.
pub const LIFECYCLE_DELETES_AT_ONCE: usize = 16;
/// Bytes of access logs that are held in memory; further lines are lost.
pub const ACCESS_LOG_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of one object of an access log.
pub const ACCESS_LOG_OBJECT_BYTES_MAX: usize = 1024 * 1024;
/// Seconds for which lines of an access log wait for others, unless it is configured: what a crash may lose.
pub const ACCESS_LOG_SECONDS: u64 = 5 * 60;
/// Largest answer of a cloud that is read into memory, in bytes: a page of a listing with metadata fits.
pub const CLOUD_ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most headers of an answer of a cloud: an object of somebody else may have hundreds of small entries of metadata.
pub const CLOUD_HEADERS_MAX: usize = 1024;
/// Idle connections kept to one host of a cloud.
pub const CLOUD_IDLE_PER_HOST_MAX: usize = 64;
/// Seconds within which a request to a cloud is tried again.
pub const CLOUD_RETRY_SECONDS_MAX: u64 = 20;
/// Milliseconds to wait for the first further try, at most; each one after it waits up to twice as long.
pub const CLOUD_WAIT_MILLIS_FIRST: u64 = 200;
/// Failures in a row after which a cloud is left alone for a while.
pub const CLOUD_BREAKER_FAILURES: u32 = 12;
/// Seconds for which it is, at first.
pub const CLOUD_BREAKER_SECONDS_FIRST: u64 = 2;
/// Seconds for which it is, at most.
pub const CLOUD_BREAKER_SECONDS_MAX: u64 = 30;
/// Bytes of a block of a large body on its way to a cloud. S3 wants at least 5 MiB, and at most 10,000 of them, and no
/// body that comes in one piece is larger than 5 GiB.
pub const CLOUD_BLOCK_BYTES: usize = 8 * 1024 * 1024;
/// Blocks held in memory at a time, of all bodies on their way to one cloud; further bodies wait.
pub const CLOUD_BLOCKS_MAX: usize = 8;
/// Bytes of a body on its way to a cloud that are taken before it waits for a block of its own.
pub const CLOUD_FREE_BYTES: usize = 64 * 1024;
/// Most seconds a body waits for a block of memory.
pub const CLOUD_BLOCK_WAIT_SECONDS_MAX: u64 = 60;
/// Requests of one large copy or join that are under way at a time.
pub const CLOUD_PIECES_AT_ONCE: usize = 8;
/// Seconds that an answer is waited for because of the bytes that a cloud is sent or moves for it.
pub const CLOUD_MOVE_SECONDS_MAX: u64 = 900;
/// Most seconds that a copy within a cloud may take which goes on behind its answer.
pub const CLOUD_COPY_SECONDS_MAX: u64 = 15 * 60;
/// Tries to go on with a body that a cloud cut.
pub const CLOUD_READ_TRIES_MAX: u32 = 3;
/// Steps of one lay-out on a cloud; each one that does not end it was lost to another writer.
pub const CLOUD_ROUNDS_MAX: usize = 16;
/// Seconds before the end of a token of Swift from which on another one is fetched.
pub const SWIFT_RENEWAL_SECONDS: u64 = 60;
/// Seconds for which credentials that an identity service refused are not sent again: such services lock users out.
pub const SWIFT_REFUSAL_SECONDS: u64 = 5;
/// Most segments that are named in one manifest, whatever the cluster allows: it looks at each of them before it answers.
pub const SWIFT_SEGMENTS_MAX: usize = 1000;
/// Bytes of a segment that Swift makes by copying: few segments, and none that takes longer than anybody waits.
pub const SWIFT_PIECE_BYTES: u64 = 256 * 1024 * 1024;
/// Rounds in which what is in the reserved tree of a container of a cloud is removed: a listing may lag behind them.
pub const CLOUD_CLEAR_ROUNDS_MAX: usize = 10_000;
/// Pages of a listing of a cloud in a row that may be empty and yet say that more follow.
pub const CLOUD_EMPTY_PAGES_MAX: usize = 1000;
/// Most pages of a listing of containers; then it is refused.
pub const CLOUD_CONTAINER_PAGES_MAX: usize = 1000;
/// Bytes that Google moves in one request of a copy between places or storage classes, so that it answers in time; a
/// multiple of a mebibyte.
pub const GOOGLE_REWRITE_BYTES: u64 = 512 * 1024 * 1024;
/// Most requests of one copy, at Google: four times what the largest object takes.
pub const GOOGLE_REWRITES_MAX: usize = 40_960;
/// Most sources of one composition, at Google.
pub const GOOGLE_COMPOSE_SOURCES_MAX: usize = 32;
/// Least seconds between two renewals of what gives tokens, after a service said that it knows one no more.
pub const CLOUD_RENEWAL_SECONDS_MIN: u64 = 5;
/// Most bytes of a token: the headers of a request hold twice as much.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// Most characters of the name of a token of a user.
pub const TOKEN_ID_CHARS_MAX: usize = 64;
/// Most bytes of a set of keys.
pub const KEY_SET_BYTES_MAX: usize = 256 * 1024;
/// Most keys of a set.
pub const KEY_SET_KEYS_MAX: usize = 100;
/// Seconds that the address of a set of keys may take to answer.
pub const KEY_SET_FETCH_SECONDS_MAX: u64 = 10;
/// Seconds after which a set of keys is fetched again.
pub const KEY_SET_REFRESH_SECONDS: u64 = 10 * 60;
/// Least seconds between two fetches of a set of keys, also when a token names a key that is not in it.
pub const KEY_SET_PAUSE_SECONDS: u64 = 30;
/// Most bytes of a body in JSON.
pub const JSON_BODY_BYTES_MAX: usize = 1024 * 1024;
/// Most fields of a form of an upload.
pub const UPLOAD_FIELDS_MAX: usize = 10;
/// Most bytes of user metadata in JSON: a page of a listing holds a thousand of them.
pub const DOCUMENT_BYTES_MAX: usize = 64 * 1024;
/// Most entries of a listing that are sorted at a time, where the order is not that of the catalog.
pub const LIST_SORTED_MAX: usize = 10_000;
/// Deletions of one request that are under way at a time.
pub const DELETES_AT_ONCE: usize = 8;
/// Seconds for which an address to upload to counts, unless it is configured: as long as Supabase's own.
pub const SIGNED_UPLOAD_SECONDS: u64 = 2 * 60 * 60;
/// Seconds for which a resumable upload can be gone on with, unless it is configured.
pub const RESUMABLE_UPLOAD_SECONDS: u64 = 24 * 60 * 60;
/// Bytes after which what comes of a resumable upload is made durable, so that no more is sent again.
pub const PIECE_BYTES: u64 = 16 * 1024 * 1024;
/// Seconds that a request for a resumable upload waits for the one before it to end.
pub const TURN_SECONDS_MAX: u64 = 10;
/// Largest image that is transformed, in bytes.
pub const RENDER_BYTES_MAX: u64 = 25 * 1024 * 1024;
/// Most pixels of an image that is transformed.
pub const RENDER_PIXELS_MAX: u32 = 32 * 1024 * 1024;
/// Most bytes of one of them: four channels of sixteen bits.
pub const RENDER_PIXEL_BYTES_MAX: u64 = 8;
/// Most bytes that the pixels of one image take in memory: as it was, in floats while it is resized, and as it becomes. The
/// largest image of eight bits that is made a little smaller fits; the bytes that are read, and what the codecs take for
/// themselves, come beside it and are a few for each pixel.
pub const RENDER_WORK_BYTES_MAX: u64 = 768 * 1024 * 1024;
/// Longest side of an image that is made, in pixels.
pub const RENDER_SIDE_MAX: u32 = 2500;
/// Most pixels of an image that is made as AVIF, which takes about a second a million of them; larger ones come in their own
/// format.
pub const RENDER_AVIF_PIXELS_MAX: u32 = 4_000_000;
/// Images that are transformed at a time: their pixels are in memory.
pub const RENDERS_AT_ONCE: usize = 2;
/// Seconds that one waits for its turn.
pub const RENDER_WAIT_SECONDS_MAX: u64 = 20;
/// Most bytes of one entry of a listing of a remote storage service: a name, and what its provider says of a file.
pub const REMOTE_ENTRY_BYTES_MAX: usize = 64 * 1024;
/// Largest answer of a remote storage service that is read into memory, in bytes: a note or a record of ours fits.
pub const REMOTE_ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most containers of a remote storage service.
pub const REMOTE_CONTAINERS_MAX: usize = 100_000;
/// Blocks of a body that wait for a remote storage service to take them.
pub const REMOTE_BLOCKS_WAITING_MAX: usize = 4;
/// Files of a remote storage service that are looked at, or removed, at a time.
pub const REMOTE_FILES_AT_ONCE: usize = 8;
/// Times that a small text of ours is read again while it is written anew.
pub const REMOTE_SLIP_READS_MAX: usize = 4;
/// Bytes of a file by which it is found out whether a remote storage service keeps to ranges.
pub const REMOTE_TRIAL_BYTES: u64 = 64;
/// Most bytes of the list of servers by which a request to a remote storage service came.
pub const REMOTE_VIA_BYTES_MAX: usize = 1024;
/// Pages of a listing of a remote storage service, for one page of ours, that have nothing of it.
pub const REMOTE_EMPTY_PAGES_MAX: usize = 1000;
/// Most mounts of the LoopBack interface.
pub const LOOPBACK_MOUNTS_MAX: usize = 100;
/// Largest file of an upload by the LoopBack interface, in bytes, unless it is configured: LoopBack's own.
pub const LOOPBACK_FILE_BYTES_MAX: u64 = 10 * 1024 * 1024;
/// Most bytes of a body of the LoopBack interface that is no upload: LoopBack's own.
pub const LOOPBACK_BODY_BYTES_MAX: usize = 100 * 1024;
/// Most files and fields of one upload by the LoopBack interface: its answer tells of each.
pub const LOOPBACK_PARTS_MAX: usize = 1000;
/// Most bytes of the fields and all names of one upload by the LoopBack interface: they are held until its answer.
pub const LOOPBACK_FIELDS_BYTES_MAX: usize = 1024 * 1024;
/// Most lines of a list of the LoopBack interface that are held; a longer list is sent as it is read, without a length.
pub const LOOPBACK_ROWS_HELD_MAX: usize = 10_000;
/// Rows of a directory of a FileStore that are read at a time.
pub const ITEMS_PAGE_ROWS: usize = 1000;
/// Items of a directory of a FileStore that are looked at in one window while it is sorted. A hundred bytes each.
pub const ITEMS_GLANCED_ROWS: usize = 10_000;
/// Most items of a directory that are listed: all of them are looked through for each batch.
pub const ITEMS_LISTED_MAX: u64 = 1_000_000;
/// Most items that are kept while a directory is sorted: those before the end of the batch. A hundred bytes each.
pub const ITEMS_SORTED_MAX: usize = 250_000;
/// Most keys of a directory of a FileStore that is moved.
pub const ITEMS_MOVED_MAX: usize = 1_000_000;
/// Most groups that are named in all permissions of a FileStore together: they are kept in memory, and written whole by
/// each change.
pub const GRANTED_GROUPS_MAX: usize = 20_000;
/// Seconds for which a sign-in counts, unless it is configured.
pub const SIGN_IN_SECONDS: u64 = 24 * 60 * 60;
/// Passwords that are looked at at a time: each takes 19 MiB and a processor.
pub const PASSWORDS_AT_ONCE: usize = 2;
/// Seconds that a sign-in waits for its turn.
pub const PASSWORD_WAIT_SECONDS_MAX: u64 = 10;
/// Bytes of a body of the FileStore interface that holds parameters and is read without waiting for a turn.
pub const ITEM_BODY_BYTES_FREE: usize = 64 * 1024;
/// Most bytes of such a body: contents may be in it, as text or in base64.
pub const ITEM_BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Larger ones that are in memory at a time.
pub const ITEM_BODIES_AT_ONCE: usize = 8;
/// Seconds that one waits for its turn.
pub const ITEM_BODY_WAIT_SECONDS_MAX: u64 = 20;
/// Most fields of a form of the FileStore interface, and of parameters in a query.
pub const ITEM_FIELDS_MAX: usize = 64;
/// Longest custom header of an item, in bytes.
pub const ITEM_HEADER_BYTES_MAX: usize = 4 * 1024;
/// Longest cache setting of an item, in bytes.
pub const ITEM_CACHE_BYTES_MAX: usize = 256;
/// Most items of one batch of a directory.
pub const ITEM_BATCH_MAX: u64 = 1000;
/// Items of a batch unless it is asked for otherwise.
pub const ITEM_BATCH: u64 = 20;
/// Rows that a scan or a repair may drop without being asked for it, however few there are; else one in a hundred.
pub const REMOVED_UNASKED_MIN: u64 = 100;
/// Seconds for which an upload that has ended is remembered, so that a repeated request is answered alike.
pub const UPLOADS_KEPT_SECONDS: u64 = 24 * 60 * 60;
