//! How s3s is set up: its defaults trust clients more than a server on a network may.
//!
//! **Invariant:** everything that s3s buffers before or after authentication has a limit here, and the operation is
//! chosen by the sub-resource, never by what the client says about it in `x-id`.

use s3s::config::S3Config;
use s3s::region::Region;

use crate::config::limits::{BODY_XML_BYTES_MAX, PUT_BYTES_MAX};

/// Largest file of a form, in bytes: a form without a length would be held in memory.
const FORM_FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Largest signed chunk, in bytes: it is held whole until its signature is verified. Clients send 64 KiB to 1 MiB.
const SIGNED_CHUNK_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Largest field of a form, in bytes; fields are read before the signature can be verified.
const FORM_FIELD_BYTES_MAX: usize = 64 * 1024;
/// All fields of a form, in bytes.
const FORM_FIELDS_BYTES_MAX: usize = 1024 * 1024;
/// Most fields of a form.
const FORM_PARTS_MAX: usize = 100;

/// The settings. A region is enforced in credential scopes only if the operator configured one.
pub(super) fn settings(region: Option<&str>) -> S3Config {
    let mut config = S3Config::default();
    config.xml_max_body_size = BODY_XML_BYTES_MAX;
    config.post_object_max_file_size = FORM_FILE_BYTES_MAX;
    config.put_object_max_size = Some(PUT_BYTES_MAX);
    // What takes the route of requests that are changed behind their verification meets the other limits there.
    config.custom_route_max_body_size = None;
    config.aws_chunked_stream_max_chunk_size = SIGNED_CHUNK_BYTES_MAX;
    config.form_max_field_size = FORM_FIELD_BYTES_MAX;
    config.form_max_fields_size = FORM_FIELDS_BYTES_MAX;
    config.form_max_parts = FORM_PARTS_MAX;
    config.sig_v4_allowed_services = vec!["s3".to_owned()];
    config.enable_sig_v2 = false;
    // The time of a request is signed whether or not its header is: it stands in the string to sign.
    config.unsigned_amz_header_allowlist = vec!["x-amz-date".to_owned()];
    // With it on, `PUT /b/k?tagging&x-id=PutObject` would store the tags as the object.
    config.operation_id_routing = false;
    config.normalize_forward_slash_path = false;
    if let Some(region) = region {
        match Region::new(region.into()) {
            Ok(region) => config.expected_region = Some(region),
            Err(_) => tracing::warn!(region, "the region is not made of a-z, 0-9 and -; credential scopes are free"),
        }
    }
    config
}
