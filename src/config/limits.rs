//! Every limit, with its unit in its name and the reason beside it.

/// Largest body of one PutObject or UploadPart, in bytes (the S3 limit).
pub const PUT_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024;
/// Largest object, in bytes (the S3 limit).
pub const OBJECT_BYTES_MAX: u64 = 50 * 1024 * 1024 * 1024 * 1024;
/// Least bytes of a part that is not the last (the S3 limit).
pub const PART_BYTES_MIN: u64 = 5 * 1024 * 1024;
/// Highest part number (the S3 limit).
pub const PART_NUMBER_MAX: u32 = 10_000;
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
/// Largest XML body, in bytes: 1,000 deletes or 10,000 parts fit.
pub const BODY_XML_BYTES_MAX: usize = 2 * 1024 * 1024;
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
/// Tries to read bytes whose row keeps moving.
pub const READ_TRIES_MAX: usize = 4;
